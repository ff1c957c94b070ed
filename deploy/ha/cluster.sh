#!/usr/bin/env bash
# Three PostgreSQL nodes under Patroni, with etcd, on loopback ports: a database that outlives its primary. It is for
# trying and testing; in production each node is a machine, and etcd has three.
#
#   deploy/ha/cluster.sh start FOLDER   makes it, waits until it is whole, prints the connection string
#   deploy/ha/cluster.sh kill FOLDER    kills the primary as a machine dies (SIGKILL: PostgreSQL and its Patroni), prints its name
#   deploy/ha/cluster.sh revive FOLDER  starts what was killed again
#   deploy/ha/cluster.sh list FOLDER    shows the nodes
#   deploy/ha/cluster.sh stop FOLDER    ends all of it; the folder is the caller's to remove
#
# It needs Debian's patroni, etcd-server, python3-etcd and postgresql. Ports: PORT (default 27400) and the next nine.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=deploy/test/lib.sh
. "$here/../test/lib.sh"
base=${PORT:-27400}
nodes=(1 2 3)

usage() { sed -n 's/^#   //p' "$0" >&2 && exit 2; }
[ $# = 2 ] || usage
verb=$1
dir=$2

api() { echo "http://127.0.0.1:$((base + 3 + $1))"; } # Patroni's, of a node

# configure writes a node's file from patroni.yml.
configure() {
	local bin
	bin=$(postgres_bin)
	sed -e "s|@NAME@|node-$1|g" -e "s|@API@|127.0.0.1:$((base + 3 + $1))|g" -e "s|@ETCD@|127.0.0.1:$base|g" \
		-e "s|@LISTEN@|127.0.0.1:$((base + 6 + $1))|g" -e "s|@DATA@|$dir/node-$1|g" -e "s|@SOCKET@|$dir|g" -e "s|@BIN@|$bin|g" \
		-e "s|@PASSWORD@|$(cat "$dir/password")|g" "$here/patroni.yml" >"$dir/node-$1.yml"
	chmod 640 "$dir/node-$1.yml"
	[ "$(id -u)" != 0 ] || chgrp postgres "$dir/node-$1.yml"
}

# launch starts a node in a session of its own, so that all of it can be killed at once.
launch() {
	setsid bash -c 'echo $$ >"$1"; shift; exec "$@"' launch "$dir/node-$1.pid" \
		"$here/cluster.sh" node "$dir/node-$1.yml" >>"$dir/node-$1.log" 2>&1 </dev/null &
}

# whole tells when one node leads and both others follow, one of them synchronously.
whole() {
	local cluster
	cluster=$(curl -fsS -m 2 "$(api 1)/cluster" 2>/dev/null || curl -fsS -m 2 "$(api 2)/cluster" 2>/dev/null) || return 1
	[ "$(grep -o '"state": "\(running\|streaming\)"' <<<"$cluster" | wc -l)" = 3 ] && grep -q sync_standby <<<"$cluster" && grep -q '"role": "leader"' <<<"$cluster"
}

wait_for() {
	local what=$1 end=$((SECONDS + $2))
	shift 2
	until "$@"; do
		[ $SECONDS -lt $end ] || {
			echo "$what: not within the time" >&2
			tail -n 5 "$dir"/*.log >&2
			exit 1
		}
		sleep 0.3
	done
}

leader() {
	local n
	for n in "${nodes[@]}"; do
		curl -fs -m 2 -o /dev/null "$(api "$n")/leader" 2>/dev/null && echo "$n" && return
	done
	return 1
}

# end kills the whole session that a file names.
end() {
	local signal=$1 file=$2 pid
	[ -e "$file" ] || return 0
	pid=$(cat "$file")
	rm -f "$file"
	pkill -"$signal" -s "$pid" 2>/dev/null || true
	while pgrep -s "$pid" >/dev/null; do sleep 0.1; done
}

# die ends a node: Patroni, and PostgreSQL, which has a session of its own.
die() {
	local postmaster
	end KILL "$dir/node-$1.pid"
	postmaster=$(head -n 1 "$dir/node-$1/postmaster.pid" 2>/dev/null) || return 0
	pkill -KILL -P "$postmaster" 2>/dev/null || true
	kill -KILL "$postmaster" 2>/dev/null || true
	while kill -0 "$postmaster" 2>/dev/null; do sleep 0.1; done
}

case $verb in
start)
	mkdir -p "$dir" && chmod 711 "$dir"
	[ "$(id -u)" != 0 ] || chown postgres "$dir"
	(umask 077 && head -c 18 /dev/urandom | base64 | tr '+/' '-_' >"$dir/password")
	[ "$(id -u)" != 0 ] || chown postgres "$dir/password"
	setsid bash -c 'echo $$ >"$1"; shift; exec "$@"' launch "$dir/etcd.pid" \
		etcd --name passport --data-dir "$dir/etcd" --enable-v2=false --listen-client-urls "http://127.0.0.1:$base" \
		--advertise-client-urls "http://127.0.0.1:$base" --listen-peer-urls "http://127.0.0.1:$((base + 1))" \
		--initial-advertise-peer-urls "http://127.0.0.1:$((base + 1))" --initial-cluster "passport=http://127.0.0.1:$((base + 1))" \
		>"$dir/etcd.log" 2>&1 </dev/null &
	wait_for etcd 20 curl -fsS -m 2 -o /dev/null "http://127.0.0.1:$base/health"
	for n in "${nodes[@]}"; do
		configure "$n"
		launch "$n"
	done
	wait_for "the cluster" 120 whole
	echo "postgres://postgres:$(cat "$dir/password")@127.0.0.1:$((base + 7)),127.0.0.1:$((base + 8)),127.0.0.1:$((base + 9))/postgres?target_session_attrs=read-write&sslmode=disable"
	;;
node) # within launch
	as_postgres patroni "$dir"
	;;
kill)
	n=$(leader) || {
		echo "there is no primary" >&2
		exit 1
	}
	die "$n"
	echo "node-$n"
	;;
revive)
	for n in "${nodes[@]}"; do
		[ -e "$dir/node-$n.pid" ] || launch "$n"
	done
	wait_for "the cluster" 120 whole
	;;
list)
	for n in "${nodes[@]}"; do
		curl -fsS -m 2 "$(api "$n")/cluster" 2>/dev/null && echo && exit 0
	done
	exit 1
	;;
stop)
	for n in "${nodes[@]}"; do die "$n"; done
	end KILL "$dir/etcd.pid"
	;;
*) usage ;;
esac
