#!/usr/bin/env bash
# What faults do, with what came of it in RESULTS.md:
#
#   deploy/ha/run.sh ha      a rolling restart of three replicas behind HAProxy and behind nginx, three rounds each, and a
#                            rolling upgrade from the last commit with fewer migrations
#   deploy/ha/run.sh ha-db   the primary of three PostgreSQL nodes under Patroni is killed under load
#   deploy/ha/run.sh fault   replicas and PostgreSQL killed, connections cut, disks full, clocks wrong, floods, and a checker
#                            that judges by what was acknowledged: two hours, or ten minutes with PASSPORT_FAULT_LONG=
#
# On Debian, as root, it installs what is missing. Everything listens on loopback and ends by itself.
set -eu
cd "$(dirname "$0")/../.."
# shellcheck source=deploy/test/lib.sh
. deploy/test/lib.sh

case ${1:-} in
ha) tests='^(TestFaultRolling|TestHAUpgrade)$' programs=(haproxy nginx) ;;
ha-db) tests='^TestHADatabase$' programs=(haproxy patroni etcd-server python3-etcd curl) ;;
fault) tests='^TestFault' programs=(haproxy nginx) ;;
*) sed -n 's/^#   //p' "$0" >&2 && exit 2 ;;
esac

missing=()
for name in "${programs[@]}"; do
	dpkg -s "$name" >/dev/null 2>&1 || missing+=("$name")
done
postgres_bin >/dev/null || missing+=(postgresql)
if [ ${#missing[@]} -gt 0 ]; then
	echo "installing: ${missing[*]}"
	install_packages "${missing[@]}"
fi

work=$(mktemp -d)
trap 'end_postgres "$work/pg"; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
# As it is installed: what was answered is on the disk.
serve_postgres "$work/pg" -c max_connections=300 -c fsync=on -c synchronous_commit=on
export PASSPORT_TEST_POSTGRES="postgres://postgres@127.0.0.1:$postgres_port/postgres?sslmode=disable"
# Empty, the runs are as short as those of `make test`.
export PASSPORT_FAULT_LONG=${PASSPORT_FAULT_LONG-yes} PASSPORT_FAULT_RESULTS="$PWD/deploy/ha/RESULTS.md"
go test -tags fault -count=1 -timeout 4h -v -run "$tests" ./cmd/passport
