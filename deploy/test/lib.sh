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

# install_packages NAME…: from Debian, without what they recommend. The programs are wanted, not their services.
install_packages() (
	export DEBIAN_FRONTEND=noninteractive
	policy=/usr/sbin/policy-rc.d
	if [ ! -e "$policy" ]; then
		trap 'rm -f "$policy"' EXIT
		printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" || exit 1
	fi
	apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null
)

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

# as_postgres runs a program as the user that PostgreSQL agrees to: it refuses root.
as_postgres() {
	if [ "$(id -u)" = 0 ]; then
		(cd / && runuser -u postgres -- "$@")
	else
		"$@"
	fi
}

# serve_postgres FOLDER OPTION…: a server with these options, on a port of loopback that is free, which it puts into
# postgres_port; a fresh one, but where the folder is that of another. end_postgres FOLDER ends it.
serve_postgres() {
	local folder=$1 bin try
	shift
	bin=$(postgres_bin) || return 1
	if [ ! -e "$folder" ]; then
		mkdir "$folder" && chmod 711 "$(dirname "$folder")" || return 1
		if [ "$(id -u)" = 0 ]; then
			chown postgres "$folder" || return 1
		fi
		as_postgres "$bin/initdb" -D "$folder" -U postgres -A trust -E UTF8 --locale=C --no-sync >/dev/null || return 1
	fi
	for try in 1 2 3 4 5; do
		postgres_port=$((20000 + (RANDOM + try) % 12000))
		if as_postgres "$bin/pg_ctl" -D "$folder" -w -t 60 -l "$folder/log" \
			-o "-p $postgres_port -k '$folder' -c listen_addresses=127.0.0.1 $*" start >/dev/null; then
			return 0
		fi
	done
	return 1
}

end_postgres() {
	[ -e "$1/postmaster.pid" ] || return 0
	as_postgres "$(postgres_bin)/pg_ctl" -D "$1" -m "${2:-fast}" -w stop >/dev/null 2>&1
}
