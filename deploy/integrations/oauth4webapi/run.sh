#!/bin/sh
# Installs what the site needs and starts it. It wants PASSPORT_ISSUER, CLIENT_ID, CLIENT_SECRET and SITE_URL.
set -eu
cd "$(dirname "$0")"
npm ci --no-audit --no-fund
exec node site.mjs
