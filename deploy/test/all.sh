#!/usr/bin/env bash
# Everything that must hold: what `make test` and .ci/run run. It ends with 0 only when nothing failed and,
# under CI=true, nothing but govulncheck was left out.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=deploy/test/lib.sh
. deploy/test/lib.sh

STATICCHECK=honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK=golang.org/x/vuln/cmd/govulncheck@v1.9.0

work=$(mktemp -d) || exit 1
finish() {
	end_postgres "$work/pg" immediate
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# One server for all packages, without the writing to disk that tests do not need.
start_postgres() {
	serve_postgres "$work/pg" -c max_connections=300 -c fsync=off -c full_page_writes=off -c shared_buffers=64MB \
		-c log_min_messages=fatal || return 1
	export PASSPORT_TEST_POSTGRES="postgres://postgres@127.0.0.1:$postgres_port/postgres?sslmode=disable"
}

# tool builds a checker with this very Go: one built with an older Go cannot read what this one writes.
tool() {
	GOBIN="$work/bin" GOFLAGS=-mod=mod GOTOOLCHAIN=local go install "$1" >"$work/tool.log" 2>&1
}

staticcheck() {
	"$work/bin/staticcheck" -tags e2e,pictures,enumeration ./... && "$work/bin/staticcheck" -tags fault ./...
}

vulnerabilities() {
	say govulncheck
	if ! tool "$GOVULNCHECK"; then
		echo "not run: govulncheck could not be installed"
		return
	fi
	"$work/bin/govulncheck" ./... >"$work/vuln.log" 2>&1
	case $? in
	0) echo ok ;;
	3)
		cat "$work/vuln.log"
		echo "FAILED: govulncheck"
		failed=1
		;;
	*)
		if grep -q 'fetching vulnerabilities' "$work/vuln.log"; then
			echo "not run: the vulnerability database cannot be reached"
		else
			cat "$work/vuln.log"
			echo "FAILED: govulncheck"
			failed=1
		fi
		;;
	esac
}

say prerequisites
deploy/test/prerequisites.sh || echo "installing failed"

# Without cgo, as the program is released: the checkers share what is compiled for that.
export CGO_ENABLED=0
step gofmt formatted
step "build without cgo" go build -o "$work/passport" ./cmd/passport
step "go vet" go vet -tags e2e,pictures,enumeration ./...
step "go vet of the faults" go vet -tags fault ./...
say staticcheck
if tool "$STATICCHECK"; then
	step staticcheck staticcheck
else
	cat "$work/tool.log"
	not_run "staticcheck could not be installed"
fi
vulnerabilities

race=(-race)
export CGO_ENABLED=1
if ! command -v gcc >/dev/null && ! command -v clang >/dev/null; then
	race=() && export CGO_ENABLED=0
	not_run "race detector: no C compiler"
fi
e2e=yes
if ! start_postgres; then
	e2e="" && export PASSPORT_TEST_DATABASES=sqlite
	not_run "tests on PostgreSQL: it is not installed, or cannot be started"
fi
if ! browser >/dev/null || ! command -v certutil >/dev/null; then
	e2e=""
	not_run "browser tests: no Chromium, or no certutil"
fi
# lacks leaves an integration out, and tells why.
left_out=()
lacks() {
	left_out+=("$1")
	not_run "deploy/integrations/$1: $2"
}
if ! node_new_enough; then
	for name in openid-client oauth4webapi oidc-client-ts; do
		lacks "$name" "no Node 20 with npm"
	done
fi
command -v mvn >/dev/null && command -v javac >/dev/null || lacks spring-security "no JDK with Maven"
[ -e /usr/lib/apache2/modules/mod_auth_openidc.so ] || lacks mod_auth_openidc "no Apache with mod_auth_openidc"
python3 -c 'import ensurepip, venv' 2>/dev/null || lacks authlib "no Python with venv"
patterns=()
if [ ${#left_out[@]} -gt 0 ]; then
	patterns+=("^TestIntegrations\$/^($(IFS='|' && echo "${left_out[*]}"))\$")
fi
if [ "$(id -u)" != 0 ] || [ ! -x /usr/lib/postfix/sbin/master ]; then # its programs change their users
	patterns+=('^TestPostfix$')
	not_run "mail through Postfix: it is not installed, or this is not root"
fi
skip=()
[ ${#patterns[@]} -eq 0 ] || skip=(-skip "$(IFS='|' && echo "${patterns[*]}")")
tags=()
[ -n "$e2e" ] && tags=(-tags e2e)
[ -n "$e2e" ] || not_run "end-to-end tests"
step "go test" go test "${race[@]}" "${tags[@]}" "${skip[@]}" -p 2 -timeout 40m ./...

# Faults in short, with what was acknowledged held against what is there: "make fault" has the long ones.
export CGO_ENABLED=0
if [ -n "${PASSPORT_TEST_POSTGRES:-}" ] && command -v haproxy >/dev/null && command -v nginx >/dev/null; then
	step "go test of faults" env -u PASSPORT_FAULT_LONG go test -tags fault -count=1 -timeout 10m -run '^TestFault' ./cmd/passport
else
	not_run "faults: no PostgreSQL, HAProxy or nginx"
fi

# A minute each, from the corpus that is kept in testdata/fuzz. What a run finds to fail it writes there, to be kept too.
fuzz() {
	go test -run '^$' -fuzz "^$1\$" -fuzztime 60s -timeout 10m "$2"
}
step "fuzzing redirect matching" fuzz FuzzMatchRedirect ./oidc/client
step "fuzzing Basic credentials" fuzz FuzzBasic ./oidc/client
step "fuzzing JWTs" fuzz FuzzJWT ./oidc/client
step "fuzzing requests" fuzz FuzzRequest ./oidc

if [ "$failed" != 0 ]; then
	printf '\nFAILED\n'
	exit 1
fi
printf '\nall is well\n'
