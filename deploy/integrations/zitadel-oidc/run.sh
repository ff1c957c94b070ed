#!/bin/sh
# Builds and starts the site. It wants PASSPORT_ISSUER, CLIENT_ID and SITE_URL.
set -eu
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
go build -o "$out/site" .
"$out/site" &
site=$!
trap 'kill $site; rm -rf "$out"' INT TERM
wait $site
