#!/bin/sh
# Builds and starts the site with a JDK (17 or newer) and Maven. It wants PASSPORT_ISSUER, CLIENT_ID, CLIENT_SECRET and
# SITE_URL.
set -eu
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
mvn -B -q -DbuildDirectory="$out" package
java -jar "$out/site.jar" --server.address=localhost --server.port="${SITE_URL##*:}" &
site=$!
trap 'kill $site; wait $site; rm -rf "$out"' INT TERM
wait $site
