#!/usr/bin/env bash
# Measures the server on a fresh PostgreSQL against node-oidc-provider in memory, and writes RESULTS.md: `make bench`.
# See README.md beside it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
# shellcheck source=deploy/bench/lib.sh
. deploy/bench/lib.sh

usage() {
	cat <<'END'
deploy/bench/run.sh [options]

  --seconds N       how long each scenario is measured, a round and a server (10)
  --rounds N        the median of how many counts (3)
  --warm-up N       seconds that each run goes before it is measured (2)
  --settle N        seconds of load before it is looked at what a server has resident under it (20)
  --workers N       how many ask at the same time (8)
  --scenarios LIST  "discovery jwks client_credentials introspect userinfo refresh sso login"
  --without-steps   not the commits of steps.txt, each measured before and after, once
  --out FILE        where to write (deploy/bench/RESULTS.md)

All of it takes about (seconds + warm-up + 1) × rounds × 26 and (settle + 7) × 14, and for each step as much for each of its scenarios, twice.
Nothing else may run beside it.
END
}

light="" seconds=10 rounds=3 warmup=2 settle=20 workers=8 steps=yes out=$here/RESULTS.md
scenarios="discovery jwks client_credentials introspect userinfo refresh sso login"
while [ $# -gt 0 ]; do
	case $1 in
	--seconds) seconds=$2 && shift ;;
	--rounds) rounds=$2 && shift ;;
	--warm-up) warmup=$2 && shift ;;
	--settle) settle=$2 && shift ;;
	--workers) workers=$2 && shift ;;
	--scenarios) scenarios=$2 && shift ;;
	--without-steps) steps="" ;;
	--out) out=$(realpath "$2") && shift ;;
	--help) usage && exit ;;
	*) usage >&2 && exit 2 ;;
	esac
	shift
done

command -v npm >/dev/null || { echo "bench: there is no Node with npm" >&2; exit 1; }

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

# all_rounds measures everything, one server after the other within a scenario, so that a slow minute hits each.
all_rounds() {
	local round scenario at
	for ((round = 1; round <= rounds; round++)); do
		for scenario in $scenarios; do
			say "round $round: $scenario"
			at=$work/json/$scenario-$round
			# Passwords come last, and take memory that the targets leave out. Until then each worker has signed in once a run.
			if [ "$scenario" = login ] && [ -z "$light" ]; then
				light="$(memory "${pid[postgres]}" VmHWM) $(memory "${pid[sqlite]}" VmHWM) $(memory "${pid[peer]}" VmHWM)"
			fi
			measure peer load-RS256 "$scenario" "$at-peer" --pages oidc-provider
			measure postgres load-ES256 "$scenario" "$at-postgres"
			measure sqlite load-ES256 "$scenario" "$at-sqlite"
			case $scenario in
			refresh | sso) measure postgres load-RS256 "$scenario" "$at-rs256" ;;
			esac
		done
	done
}

# under_load looks at what our servers have resident under each kind of load but passwords, for five seconds, once those that
# the workers signed in with have been given back: to each went 19 MiB, and only the collector returns them.
under_load() {
	local name scenario warmup=$settle seconds=5 asking
	for name in postgres sqlite; do
		say "memory: $name"
		for scenario in $scenarios; do
			[ "$scenario" != login ] || continue
			put "$name" load-ES256 "$scenario" >"$work/log" 2>&1 &
			asking=$!
			sleep $((settle + 1))
			while kill -0 "$asking" 2>/dev/null; do
				echo "$(memory "${pid[$name]}" VmRSS) $scenario"
				sleep 1
			done >>"$work/resident-$name"
			wait "$asking" || echo "bench: $scenario at $name went wrong: $(cat "$work/log")" | tee "$work/resident-$name-wrong"
		done
	done
}

# most NAME prints the largest of these numbers; a question mark where one of the loads went wrong.
most() {
	if [ -e "$work/resident-$1-wrong" ]; then echo "?"; else sort -n "$work/resident-$1" | awk 'END { print $1 }'; fi
}

# all_steps measures each commit of steps.txt and the one before it. Neither changes any more: what RESULTS.md has stays.
all_steps() {
	local commit list what on side scenario round n=0
	while IFS=$'\t' read -r commit list what on; do
		case $commit in '' | '#'*) continue ;; esac
		n=$((n + 1))
		if grep -q "^### .*(\`$commit\`)" "$here/RESULTS.md"; then
			awk -v id="(\`$commit\`)" '/^### / { of = index($0, id) } of' "$here/RESULTS.md" >"$work/step.md"
			printf '\n%s\n' "$(cat "$work/step.md")" >>"$work/steps.md"
			continue
		fi
		say "step $n: $what"
		for side in before after; do
			git worktree add --quiet --detach --force "$work/tree" "$([ $side = before ] && echo "$commit^" || echo "$commit")"
			(cd "$work/tree" && CGO_ENABLED=0 go build -trimpath -o "$work/$side$n" ./cmd/passport)
			git worktree remove --force "$work/tree"
			ours "step${n}$side" "$work/$side$n" "${on:-postgres}"
		done
		for ((round = 1; round <= rounds; round++)); do
			for scenario in $list; do
				for side in before after; do
					measure "step$n$side" load-ES256 "$scenario" "$work/json/step$n-$scenario-$round-$side"
				done
			done
		done
		end "step${n}before"
		end "step${n}after"
		compare=()
		runs before "$work"/json/step"$n"-*-before
		runs after "$work"/json/step"$n"-*-after
		{
			printf '\n### %s (`%s`)%s\n\n' "$what" "$commit" "${on:+, on $on}"
			table
		} >>"$work/steps.md"
	done <"$here/steps.txt"
}

# The ratios to the peer that we hold ourselves to.
targets=(Passport:discovery=2 Passport:jwks=1.2 Passport:client_credentials=1 Passport:introspect=1 Passport:userinfo=1
	Passport:refresh=1.3 Passport:sso=1.8 "Passport RS256:refresh=0.7" "Passport RS256:sso=1.1")

# asked prints those whose scenario is measured, a line each.
asked() {
	local target scenario
	for target in "${targets[@]}"; do
		scenario=${target##*:}
		case " $scenarios " in
		*" ${scenario%=*} "*) echo "--target=$target" ;;
		esac
	done
}

results() {
	local flags scenario
	cat <<END
# How fast

Written by \`make bench\`; not to be edited. $(made).

Machine: $(machine);
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
	mapfile -t flags < <(asked)
	table "${flags[@]}"
	printf '\n## On SQLite\n\n'
	compare=()
	runs Passport "$work"/json/*-postgres
	runs "Passport SQLite" "$work"/json/*-sqlite
	flags=()
	for scenario in $scenarios; do
		flags+=(--target "Passport SQLite:$scenario=1") # no slower than on PostgreSQL
	done
	table "${flags[@]}"
	cat <<END

## Where the time goes

Milliseconds of a core for one operation, median of the rounds: of the server, of PostgreSQL, of passload, which has the
cores too. *At most* is what $(nproc) cores allow when none of them ever waits.

END
	node "$here/costs.mjs" "$work" "$(getconf CLK_TCK)" "$(nproc)" $(((seconds + warmup) * 100 / seconds)) peer=oidc-provider postgres=Passport "rs256=Passport RS256" "sqlite=Passport SQLite"
	cat <<END

## Size

| what | measured | target |
|---|--:|--:|
END
	size "program, MB" "$(awk -v b="$(stat -c %s "$work/passport")" 'BEGIN { printf "%.1f", b / 1e6 }')" 60
	size "start to the first answer on a migrated PostgreSQL, ms" "${took[postgres]}" 500
	size "resident, idle, MiB" "$idle" 60
	size "resident under load, the workers' sign-ins given back, at most, MiB" "$(most postgres)" 200
	size "the same, resident under load, Passport SQLite, MiB" "$(most sqlite)" 200
	if [ -n "$light" ]; then
		set -- $light # in which argon2 has its part: no target
		size "resident at most before \`login\`, with the 19 MiB of each of the workers' passwords, MiB" "$1"
		size "the same, Passport SQLite, MiB" "$2"
		size "the same, oidc-provider, MiB" "$3"
	fi
	size "resident at most with \`login\`, MiB" "$(memory "${pid[postgres]}" VmHWM)"
	size "the same, Passport SQLite, MiB" "$(memory "${pid[sqlite]}" VmHWM)"
	[ ! -s "$work/steps.md" ] || { printf '\n## Steps\n\nEach commit against the one before it, when it was made, on PostgreSQL where nothing else is said.\n' && cat "$work/steps.md"; }
}

build
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
under_load
if [ -n "$steps" ]; then
	all_steps
fi
results >"$work/results.md"
publish "$out"
