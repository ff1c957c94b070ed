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
  --out FILE        where to write (deploy/bench/SCALE.md)

The large database takes about 2 KiB a grant on the disk, in the folder for temporary files (TMPDIR), and a second or two for
10,000 of them. Nothing else may run beside it.
END
}

accounts=1000000 grants=10000000 seconds=30 rounds=5 warmup=2 workers=8 out=$here/SCALE.md
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
	--out) out=$(realpath "$2") && shift ;;
	--help) usage && exit ;;
	*) usage >&2 && exit 2 ;;
	esac
	shift
done

build
say "starting"
start_postgres
ours empty "$work/passport" postgres
say "filling"
begun=$SECONDS
ours large "$work/passport" postgres --accounts "$accounts" --grants "$grants" --password-file "$work/password"
filled=$((SECONDS - begun))
# What autovacuum would do some time later, and a checkpoint, are not what is measured.
as_postgres "$bin/vacuumdb" -h 127.0.0.1 -p "$postgres_port" -U postgres --analyze --quiet passport_large
as_postgres "$bin/psql" -h 127.0.0.1 -p "$postgres_port" -U postgres --quiet --command CHECKPOINT
disk=$(as_postgres "$bin/psql" -h 127.0.0.1 -p "$postgres_port" -U postgres --quiet --no-align --tuples-only \
	--command "SELECT pg_size_pretty(pg_database_size('passport_large'))")

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
made by \`passport dev fill\` in $filled s. *Empty* has the account that is measured and no other. Closed loop, $workers workers,
$warmup s warm-up, $seconds s, median of $rounds rounds, one after the other; while *large* is measured its servers purge what ends.

END
	"$work/passload" compare --markdown "${targets[@]}" "${compare[@]}"
} >"$work/results.md"
cp "$work/results.md" "$out"
say "$out"
cat "$out"
