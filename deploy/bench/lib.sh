# Shared by the scripts beside it: servers to measure, on a PostgreSQL of their own, and passload that measures them.
# The options of the one that runs are workers, seconds and warmup.
# shellcheck shell=bash disable=SC2154,SC2034
# shellcheck source=deploy/test/lib.sh
. deploy/test/lib.sh

bin=$(postgres_bin) || { echo "bench: PostgreSQL's server is not installed" >&2; exit 1; }
command -v node >/dev/null || { echo "bench: there is no Node" >&2; exit 1; }

work=$(mktemp -d)
cluster=$work/pg # PostgreSQL's folder
# Of each server, by name: where it is, its process, and the milliseconds until it answered.
declare -A issuer=() pid=() took=()
# Who signs in at a server, a file for --people; of those that have none, load@example.com.
declare -A people=()
finish() {
	local name
	for name in "${!pid[@]}"; do end "$name"; done
	end_postgres "$cluster"
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
	serve_postgres "$cluster" -c fsync=on -c synchronous_commit=on
}

# on_postgres PROGRAM FLAG… runs one of PostgreSQL's programs on it.
on_postgres() {
	local program=$1
	shift
	as_postgres "$bin/$program" -h 127.0.0.1 -p "$postgres_port" -U postgres "$@"
}

# settings NAME DATABASE writes what a server is started with into its folder.
settings() {
	local port dir=$work/$1 database=$2
	mkdir "$dir"
	port=$(free_port)
	if [ "$database" = postgres ]; then
		database="postgres://postgres@127.0.0.1:$postgres_port/passport_$1?sslmode=disable"
	else
		database="sqlite:$dir/passport.db"
	fi
	cat >"$dir/env" <<END
export PASSPORT_ISSUER=http://127.0.0.1:$port PASSPORT_ADDR=127.0.0.1:$port PASSPORT_ADMIN_ADDR=off PASSPORT_DATA=$dir
export PASSPORT_DATABASE='$database' PASSPORT_SECRET=$secret PASSPORT_SMTP_URL=smtp://nobody:none@127.0.0.1:1
export PASSPORT_LIMIT_EXEMPT=127.0.0.0/8 PASSPORT_SHUTDOWN_DELAY=0s
END
}

# ours NAME PROGRAM DATABASE [FLAG…]: a server with its clients and its person; the flags are createdb's. It fills issuer,
# pid and took.
ours() {
	local name=$1 program=$2 database=$3 dir=$work/$1 id alg
	shift 3
	[ "$database" != postgres ] || on_postgres createdb "$@" "passport_$name"
	settings "$name" "$database"
	for alg in ES256 RS256; do
		id="load-$alg"
		printf '{"client_id": "%s", "client_secret": "%s", "client_name": "Load", "redirect_uris": ["%s"], "scope": "openid offline_access",
			"grant_types": ["authorization_code", "refresh_token", "client_credentials"], "id_token_signed_response_alg": "%s"}' \
			"$id" "$secret" "$redirect" "$alg" |
			(. "$dir/env" && "$program" client create --file - >/dev/null 2>"$dir/log") || { cat "$dir/log"; return 1; }
	done
	(. "$dir/env" && "$program" account create --email load@example.com --password-file "$work/password" --confirmed >/dev/null 2>"$dir/log") ||
		{ cat "$dir/log"; return 1; }
	issuer[$name]=$(. "$dir/env" && echo "$PASSPORT_ISSUER")
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

# build makes the programs, and the secrets that they are started with.
build() {
	say "building"
	CGO_ENABLED=0 go build -trimpath -o "$work/passport" ./cmd/passport
	CGO_ENABLED=0 go build -trimpath -o "$work/passload" ./cmd/passload
	secret=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
	redirect=https://passload.invalid/callback
	printf '%s' "$secret" >"$work/secret"
	printf 'a good long passphrase' >"$work/password"
	mkdir "$work/json" "$work/cost"
}

# memory PID FIELD prints MiB.
memory() {
	awk -v field="$2:" '$1 == field { printf "%d", $2 / 1024 }' "/proc/$1/status"
}

# ticks prints the processor's ticks that a process has had, and with "children" those of its children instead.
ticks() {
	local all=$1 pid
	[ "${2:-}" != children ] || all=$(pgrep -P "$1")
	for pid in $all; do cat "/proc/$pid/stat"; done 2>/dev/null | awk '{ n += $14 + $15 } END { print n + 0 }'
}

# put NAME CLIENT SCENARIO [flags] puts the load on a server, and prints what passload does.
put() {
	local name=$1 client=$2 scenario=$3 who=(--username load@example.com --password-file "$work/password")
	shift 3
	[ -z "${people[$name]:-}" ] || who=(--people "${people[$name]}")
	"$work/passload" --issuer "${issuer[$name]}" --client-id "$client" --client-secret-file "$work/secret" --redirect-uri "$redirect" \
		"${who[@]}" --workers "$workers" --duration "${seconds}s" \
		--warm-up "${warmup}s" --timeout 30s --quiet --json "$@" "$scenario"
}

# measure NAME CLIENT SCENARIO FILE [flags]: what a server does, and beside it what that cost: ticks of the server and of
# PostgreSQL, seconds of passload. A run that could not begin is a round that failed, and so it stands in the table.
measure() {
	local name=$1 client=$2 scenario=$3 file=$4 TIMEFORMAT='%U %S' server postgres spent
	shift 4
	server=$(ticks "${pid[$name]}")
	postgres=$(ticks "$(head -n 1 "$cluster/postmaster.pid")" children)
	spent=$({ time put "$name" "$client" "$scenario" "$@" >"$file" 2>"$work/log" ||
		echo "bench: $scenario at $name went wrong: $(cat "$work/log")" >&3; } 3>&2 2>&1)
	[ -s "$file" ] || printf '{"scenarios": [{"scenario": "%s", "failed": 1}]}' "$scenario" >"$file"
	echo "$(($(ticks "${pid[$name]}") - server)) $(($(ticks "$(head -n 1 "$cluster/postmaster.pid")" children) - postgres)) $spent" >"$work/cost/${file##*/}"
}

# runs NAME FILE... adds the files of a server for passload compare, those that there are.
runs() {
	local name=$1 file
	shift
	for file in "$@"; do
		if [ -s "$file" ]; then compare+=("$name=$file"); fi
	done
}

# table [flags] prints what passload compare makes of the runs. What it has to say, of targets that were missed, is for the end.
table() {
	"$work/passload" compare --markdown "$@" "${compare[@]}" 2>>"$work/missed" || true
}

# size WHAT MEASURED [AT_MOST] prints a row. What is above its target is missed, and so is what nobody could measure.
size() {
	local verdict=""
	if [ -n "${3:-}" ]; then
		verdict="≤ $3: yes"
		awk -v have="$2" -v limit="$3" 'BEGIN { exit !(have ~ /^[0-9.]+$/ && have + 0 <= limit) }' ||
			{ verdict="≤ $3: NO" && echo "$1: ${2:-unknown}, and should be $3 at most" >>"$work/missed"; }
	fi
	echo "| $1 | $2 | $verdict |"
}

# publish writes the results to a file, whatever they are, and ends with 1 when a target was missed.
publish() {
	cp "$work/results.md" "$1"
	say "$1"
	cat "$1"
	[ ! -s "$work/missed" ] || { printf '\nbench: targets missed:\n%s\n' "$(cat "$work/missed")" >&2 && exit 1; }
}

# machine prints what it was measured on.
machine() {
	echo "$(nproc) × $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(awk '/MemTotal/ { printf "%d", $2 / 1048576 + 0.5 }' /proc/meminfo) GiB, Linux $(uname -r)"
}

# made prints when, and of what, a result is.
made() {
	local dirty=""
	[ -z "$(git status --porcelain)" ] || dirty=" with changes that are not committed"
	echo "$(date -u +'%Y-%m-%d %H:%M') UTC, commit \`$(git rev-parse --short=12 HEAD)\`$dirty"
}
