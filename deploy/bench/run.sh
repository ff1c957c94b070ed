#!/usr/bin/env bash
# Measures the server on a fresh PostgreSQL against node-oidc-provider in memory, and writes RESULTS.md: `make bench`.
# See README.md beside it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
# shellcheck source=deploy/test/lib.sh
. deploy/test/lib.sh

usage() {
	cat <<'END'
deploy/bench/run.sh [options]

  --seconds N       how long each scenario is measured, a round and a server (10)
  --rounds N        the median of how many counts (3)
  --warm-up N       seconds that each run goes before it is measured (2)
  --workers N       how many ask at the same time (8)
  --scenarios LIST  "discovery jwks client_credentials introspect userinfo refresh sso login"
  --without-steps   not the commits of steps.txt, each measured before and after
  --out FILE        where to write (deploy/bench/RESULTS.md)

All of it takes about (seconds + warm-up + 1) × rounds × 26, and for each step as much for each of its scenarios, twice.
Nothing else may run beside it.
END
}

seconds=10 rounds=3 warmup=2 workers=8 steps=yes out=$here/RESULTS.md
scenarios="discovery jwks client_credentials introspect userinfo refresh sso login"
while [ $# -gt 0 ]; do
	case $1 in
	--seconds) seconds=$2 && shift ;;
	--rounds) rounds=$2 && shift ;;
	--warm-up) warmup=$2 && shift ;;
	--workers) workers=$2 && shift ;;
	--scenarios) scenarios=$2 && shift ;;
	--without-steps) steps="" ;;
	--out) out=$(realpath "$2") && shift ;;
	--help) usage && exit ;;
	*) usage >&2 && exit 2 ;;
	esac
	shift
done

bin=$(postgres_bin) || { echo "bench: PostgreSQL's server is not installed" >&2; exit 1; }
command -v npm >/dev/null || { echo "bench: there is no Node with npm" >&2; exit 1; }

work=$(mktemp -d)
# Of each server, by name: where it is, its process, and the milliseconds until it answered.
declare -A issuer=() pid=() took=()
finish() {
	local name
	for name in "${!pid[@]}"; do end "$name"; done
	end_postgres "$work/pg"
	git worktree remove --force "$work/tree" 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

end() {
	kill "${pid[$1]}" 2>/dev/null || true
	wait "${pid[$1]}" 2>/dev/null || true
	unset "pid[$1]"
}

free_port() {
	node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })'
}

# As it is installed: what was answered is on the disk (fsync and synchronous_commit are on).
start_postgres() {
	serve_postgres "$work/pg" -c fsync=on -c synchronous_commit=on
}

# ours NAME PROGRAM DATABASE: a server with its clients and its person; it fills issuer, pid and took.
ours() {
	local name=$1 program=$2 database=$3 port dir=$work/$1 id alg
	mkdir "$dir"
	port=$(free_port)
	if [ "$database" = postgres ]; then
		as_postgres "$bin/createdb" -h 127.0.0.1 -p "$postgres_port" -U postgres "passport_$name"
		database="postgres://postgres@127.0.0.1:$postgres_port/passport_$name?sslmode=disable"
	else
		database="sqlite:$dir/passport.db"
	fi
	cat >"$dir/env" <<END
export PASSPORT_ISSUER=http://127.0.0.1:$port PASSPORT_ADDR=127.0.0.1:$port PASSPORT_ADMIN_ADDR=off PASSPORT_DATA=$dir
export PASSPORT_DATABASE='$database' PASSPORT_SECRET=$secret PASSPORT_SMTP_URL=smtp://nobody:none@127.0.0.1:1
export PASSPORT_LIMIT_EXEMPT=127.0.0.0/8 PASSPORT_SHUTDOWN_DELAY=0s
END
	for alg in ES256 RS256; do
		id="load-$alg"
		printf '{"client_id": "%s", "client_secret": "%s", "client_name": "Load", "redirect_uris": ["%s"], "scope": "openid offline_access",
			"grant_types": ["authorization_code", "refresh_token", "client_credentials"], "id_token_signed_response_alg": "%s"}' \
			"$id" "$secret" "$redirect" "$alg" |
			(. "$dir/env" && "$program" client create --file - >/dev/null 2>"$dir/log") || { cat "$dir/log"; return 1; }
	done
	(. "$dir/env" && "$program" account create --email load@example.com --password-file "$work/password" --confirmed >/dev/null 2>"$dir/log") ||
		{ cat "$dir/log"; return 1; }
	issuer[$name]=http://127.0.0.1:$port
	serve "$name" "$program"
}

# serve NAME PROGRAM starts it on the database that is there; its log goes where it costs no disk.
serve() {
	local begun
	begun=$(date +%s%N)
	(. "$work/$1/env" && exec "$2" serve >/dev/null 2>&1) &
	pid[$1]=$!
	answers "${issuer[$1]}"
	took[$1]=$((($(date +%s%N) - begun) / 1000000))
}

# answers waits for a server's first answer.
answers() {
	local try
	for ((try = 0; try < 3000; try++)); do
		curl -sf -o "$work/answer" "$1/.well-known/openid-configuration" && return
		sleep 0.01
	done
	echo "bench: $1 does not answer" >&2
	return 1
}

peer() {
	local port
	port=$(free_port)
	cp -r "$here/peer" "$work/peer"
	(cd "$work/peer" && npm ci --no-audit --no-fund --silent)
	issuer[peer]=http://127.0.0.1:$port
	(cd "$work/peer" && ISSUER=${issuer[peer]} CLIENT_ID=load-RS256 CLIENT_SECRET=$secret REDIRECT_URI=$redirect NODE_ENV=production \
		exec node peer.mjs >"$work/peer.log" 2>&1) &
	pid[peer]=$!
	answers "${issuer[peer]}"
}

# memory PID FIELD prints MiB.
memory() {
	awk -v field="$2:" '$1 == field { printf "%d", $2 / 1024 }' "/proc/$1/status"
}

# measure ISSUER CLIENT SCENARIO FILE [flags]
measure() {
	local issuer=$1 client=$2 scenario=$3 file=$4
	shift 4
	"$work/passload" --issuer "$issuer" --client-id "$client" --client-secret-file "$work/secret" --redirect-uri "$redirect" \
		--username load@example.com --password-file "$work/password" --workers "$workers" --duration "${seconds}s" \
		--warm-up "${warmup}s" --timeout 30s --quiet --json "$@" "$scenario" >"$file" || echo "bench: $scenario at $issuer went wrong" >&2
}

# all_rounds measures everything, one server after the other within a scenario, so that a slow minute hits each.
all_rounds() {
	local round scenario at
	for ((round = 1; round <= rounds; round++)); do
		for scenario in $scenarios; do
			say "round $round: $scenario"
			at=$work/json/$scenario-$round
			measure "${issuer[peer]}" load-RS256 "$scenario" "$at-peer" --pages oidc-provider
			measure "${issuer[postgres]}" load-ES256 "$scenario" "$at-postgres"
			measure "${issuer[sqlite]}" load-ES256 "$scenario" "$at-sqlite"
			case $scenario in
			refresh | sso) measure "${issuer[postgres]}" load-RS256 "$scenario" "$at-rs256" ;;
			esac
		done
	done
}

# runs NAME FILE... adds the files of a server for passload compare; a run that went wrong left none.
runs() {
	local name=$1 file
	shift
	for file in "$@"; do
		if [ -s "$file" ]; then compare+=("$name=$file"); fi
	done
}

# all_steps measures each commit of steps.txt and the one before it.
all_steps() {
	local commit list what side scenario round n=0
	while IFS=$'\t' read -r commit list what; do
		case $commit in '' | '#'*) continue ;; esac
		n=$((n + 1))
		say "step $n: $what"
		for side in before after; do
			git worktree add --quiet --detach --force "$work/tree" "$([ $side = before ] && echo "$commit^" || echo "$commit")"
			(cd "$work/tree" && CGO_ENABLED=0 go build -trimpath -o "$work/$side$n" ./cmd/passport)
			git worktree remove --force "$work/tree"
			ours "step${n}$side" "$work/$side$n" postgres
		done
		for ((round = 1; round <= rounds; round++)); do
			for scenario in $list; do
				for side in before after; do
					measure "${issuer[step$n$side]}" load-ES256 "$scenario" "$work/json/step$n-$scenario-$round-$side"
				done
			done
		done
		end "step${n}before"
		end "step${n}after"
		compare=()
		runs before "$work"/json/step"$n"-*-before
		runs after "$work"/json/step"$n"-*-after
		{
			printf '\n### %s (`%s`)\n\n' "$what" "$commit"
			"$work/passload" compare --markdown "${compare[@]}"
		} >>"$work/steps.md"
	done <"$here/steps.txt"
}

# The ratios to the peer that we hold ourselves to.
targets=(--target Passport:discovery=2 --target Passport:jwks=1.2 --target Passport:client_credentials=1
	--target Passport:introspect=1 --target Passport:userinfo=1 --target Passport:refresh=1.3 --target Passport:sso=1.8
	--target "Passport RS256:refresh=0.7" --target "Passport RS256:sso=1.1")

results() {
	local dirty=""
	[ -z "$(git status --porcelain)" ] || dirty=" with changes that are not committed"
	cat <<END
# How fast

Written by \`make bench\`; not to be edited. $(date -u +'%Y-%m-%d %H:%M') UTC, commit \`$(git rev-parse --short=12 HEAD)\`$dirty.

Machine: $(nproc) × $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(awk '/MemTotal/ { printf "%d", $2 / 1048576 + 0.5 }' /proc/meminfo) GiB, Linux $(uname -r);
$("$bin/postgres" --version), $(go version | cut -d' ' -f3), Node $(node --version), oidc-provider $(node -p "require('$work/peer/node_modules/oidc-provider/package.json').version").
Load generator, servers and database share it: quote ratios, not figures.

Closed loop, $workers workers, $warmup s warm-up, $seconds s, median of $rounds rounds, each scenario at one server after the other.
*Passport* is on PostgreSQL with fsync and synchronous_commit, ID tokens ES256 (*RS256* where it says so); *Passport SQLite* is one
process with synchronous=FULL. The peer is node-oidc-provider, RS256, everything in memory, no log. Ours logs each request.
A wrong answer is a failure and no operation. What the peer's \`login\` does not do is check a password.

END
	compare=()
	runs oidc-provider "$work"/json/*-peer
	runs Passport "$work"/json/*-postgres
	runs "Passport RS256" "$work"/json/*-rs256
	"$work/passload" compare --markdown "${targets[@]}" "${compare[@]}"
	printf '\n## On SQLite\n\n'
	compare=()
	runs Passport "$work"/json/*-postgres
	runs "Passport SQLite" "$work"/json/*-sqlite
	"$work/passload" compare --markdown "${compare[@]}"
	cat <<END

## Size

| what | measured | target |
|---|--:|--:|
| program, MB | $(awk -v b="$(stat -c %s "$work/passport")" 'BEGIN { printf "%.1f", b / 1e6 }') | 60 |
| start to the first answer on a migrated PostgreSQL, ms | ${took[postgres]} | 500 |
| resident, idle, MiB | $idle | 60 |
| resident at most under this load (PostgreSQL), with argon2's 19 MiB a password at a time, MiB | $(memory "${pid[postgres]}" VmHWM) | 200 without argon2 |
| the same, Passport SQLite, MiB | $(memory "${pid[sqlite]}" VmHWM) | |
| the same, oidc-provider, MiB | $(memory "${pid[peer]}" VmHWM) | |
END
	[ ! -s "$work/steps.md" ] || { printf '\n## Steps\n\nEach commit against the one before it, on PostgreSQL.\n' && cat "$work/steps.md"; }
}

say "building"
CGO_ENABLED=0 go build -trimpath -o "$work/passport" ./cmd/passport
CGO_ENABLED=0 go build -trimpath -o "$work/passload" ./cmd/passload
secret=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
redirect=https://passload.invalid/callback
printf '%s' "$secret" >"$work/secret"
printf 'a good long passphrase' >"$work/password"
mkdir "$work/json"
say "starting"
start_postgres
ours postgres "$work/passport" postgres
end postgres
serve postgres "$work/passport" # again, for the time that it takes on a migrated database
ours sqlite "$work/passport" sqlite
peer
sleep 3
idle=$(memory "${pid[postgres]}" VmRSS)
all_rounds
if [ -n "$steps" ]; then
	all_steps
fi
results >"$work/results.md"
cp "$work/results.md" "$out"
say "$out"
cat "$out"
