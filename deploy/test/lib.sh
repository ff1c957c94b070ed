# Shared by the scripts beside it: what is told, and what it means for the exit status.
# shellcheck shell=bash
failed=0

# say announces a step.
say() { printf '\n== %s\n' "$*"; }

# step runs one; a failure is remembered, and the next one runs all the same.
step() {
	local what=$1
	shift
	say "$what"
	local begun=$SECONDS
	if "$@"; then
		echo "ok ($((SECONDS - begun)) s)"
	else
		echo "FAILED: $what"
		failed=1
	fi
}

# not_run tells what could not be tested, and why. CI must run everything.
not_run() {
	echo "not run: $*"
	if [ "${CI:-}" = true ]; then
		failed=1
	fi
}

# formatted fails when a Go file is not as gofmt writes it.
formatted() {
	local files
	files=$(find . -name node_modules -prune -o -name '*.go' -print0 | xargs -0 gofmt -l)
	[ -z "$files" ] || {
		echo "not formatted:"
		echo "$files"
		return 1
	}
}

# postgres_bin prints the folder of PostgreSQL's server programs.
postgres_bin() {
	local found
	found=$(find /usr/lib/postgresql /usr/pgsql-* -maxdepth 2 -name bin -type d 2>/dev/null | sort -V | tail -n 1)
	if [ -z "$found" ]; then
		found=$(command -v initdb >/dev/null && dirname "$(command -v initdb)")
	fi
	[ -n "$found" ] && [ -x "$found/initdb" ] && echo "$found"
}

# browser prints the name of a Chromium.
browser() {
	local name
	for name in chromium chromium-browser google-chrome; do
		command -v "$name" && return
	done
	return 1
}

# node_new_enough: openid-client needs Node 20.
node_new_enough() {
	command -v npm >/dev/null && command -v node >/dev/null &&
		node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)'
}
