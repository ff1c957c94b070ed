#!/bin/sh
# Fetches the library and serves the app. It wants PASSPORT_ISSUER, CLIENT_ID and SITE_URL.
set -eu
cd "$(dirname "$0")"
npm ci --no-audit --no-fund
exec node serve.mjs
