#!/usr/bin/env bash
# Measures the server on a large database against the same server on an empty one, and writes SCALE.md: `make bench-scale`.
# See README.md beside it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
# shellcheck source=deploy/bench/lib.sh
. deploy/bench/lib.sh

usage() {
	cat <<'END'
deploy/bench/scale.sh [options]

  --accounts N      how many the large database has (1000000)
  --grants N        and how many grants (10000000)
  --seconds N       how long each scenario is measured, a round and a server (30)
  --rounds N        the median of how many counts (5)
  --warm-up N       seconds that each run goes before it is measured (2)
  --workers N       how many ask at the same time (8)
  --scenarios LIST  "discovery jwks client_credentials introspect userinfo refresh sso"
  --keep FOLDER     the filled database stays there, and the next run fills nothing (a temporary folder)
  --fill            fill it, and measure nothing
  --out FILE        where to write (deploy/bench/SCALE.md)

The large database takes about 2 KiB a grant on the disk, in the folder for temporary files (TMPDIR), or in FOLDER and as
much again for the copy that is measured; to fill it takes a second or two for 10,000 grants. Nothing else may run while it measures.
END
}

accounts=1000000 grants=10000000 seconds=30 rounds=5 warmup=2 workers=8 out=$here/SCALE.md keep="" only=""
scenarios="discovery jwks client_credentials introspect userinfo refresh sso"
while [ $# -gt 0 ]; do
	case $1 in
	--accounts) accounts=$2 && shift ;;
	--grants) grants=$2 && shift ;;
	--seconds) seconds=$2 && shift ;;
	--rounds) rounds=$2 && shift ;;
	--warm-up) warmup=$2 && shift ;;
	--workers) workers=$2 && shift ;;
	--scenarios) scenarios=$2 && shift ;;
	--keep) keep=$(realpath "$2") && shift ;;
	--fill) only=yes ;;
	--out) out=$(realpath "$2") && shift ;;
	--help) usage && exit ;;
	*) usage >&2 && exit 2 ;;
	esac
	shift
done

build
if [ -n "$keep" ]; then
	mkdir -p "$keep"
	cluster=$keep/pg
	[ -e "$keep/secret" ] || cp "$work/secret" "$keep/secret" # the keys in the database are sealed with it
	cp "$keep/secret" "$work/secret"
	secret=$(cat "$work/secret")
fi
say "starting"
start_postgres
sql() { on_postgres psql --quiet --no-align --tuples-only "$@"; }

# fill NAME ACCOUNTS GRANTS: a database, or what is missing in one that was kept.
fill() {
	[ "$(sql --command "SELECT count(*) FROM pg_database WHERE datname = 'passport_$1'")" = 1 ] || on_postgres createdb "passport_$1"
	settings "$1" postgres
	(. "$work/$1/env" && "$work/passport" dev fill --accounts "$2" --grants "$3" --password-file "$work/password")
	# What autovacuum would do some time later, and a checkpoint, are not what is measured.
	on_postgres vacuumdb --analyze --quiet "passport_$1"
}

# some ACCOUNTS prints the people of as many accounts as are measured, at random among so many: the same ones each time.
some() {
	awk -v all="$1" -v want="$measured" -v password="$(cat "$work/password")" 'BEGIN {
		srand(1)
		for (n = 0; n < want; ) {
			who = int(rand() * all) + 1
			if (!taken[who]++) { print "person" who "@fill.test " password; n++ }
		}
	}'
}

measured=$((accounts < 64 ? accounts : 64))
say "filling"
begun=$SECONDS
fill filled "$accounts" "$grants"
fill few "$measured" 0 # what the empty one begins with: people can be filled in only where there are no others
sql --command CHECKPOINT
say "filled in $((SECONDS - begun)) s"
[ -z "$only" ] || exit 0
disk=$(sql --command "SELECT pg_size_pretty(pg_database_size('passport_filled'))")
for name in empty large; do
	sql --command "DROP DATABASE IF EXISTS passport_$name" 2>/dev/null # of a run before
done
ours empty "$work/passport" postgres --strategy file_copy --template passport_few
ours large "$work/passport" postgres --strategy file_copy --template passport_filled
for name in empty large; do people[$name]=$work/people-$name; done
some "$measured" >"${people[empty]}"
some "$accounts" >"${people[large]}"

targets=()
for scenario in $scenarios; do
	targets+=(--target "large:$scenario=0.85")
done
for ((round = 1; round <= rounds; round++)); do
	for scenario in $scenarios; do
		say "round $round: $scenario"
		measure empty load-ES256 "$scenario" "$work/json/$scenario-$round-empty"
		measure large load-ES256 "$scenario" "$work/json/$scenario-$round-large"
	done
done
compare=()
runs empty "$work"/json/*-empty
runs large "$work"/json/*-large
{
	cat <<END
# How fast with many accounts

Written by \`make bench-scale\`; not to be edited. $(made).

Machine: $(machine);
$("$bin/postgres" --version) as it is installed (shared_buffers of 128 MB), $(go version | cut -d' ' -f3). Load generator, server and database share it.

*Large* has $accounts accounts, each with a browser that is signed in, and $grants grants, every tenth with an access token: $disk,
made by \`passport dev fill\`. *Empty* has as many as are measured. Those are $measured, at *large* spread over all at random; each worker
has up to eight of them signed in, and uses them in turn. Closed loop, $workers workers, $warmup s warm-up, $seconds s, median of
$rounds rounds, one after the other; while *large* is measured its servers purge what ends.

END
	table "${targets[@]}"
} >"$work/results.md"
publish "$out"
