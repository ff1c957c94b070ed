#!/bin/sh
# Starts the site with Debian's apache2 and libapache2-mod-auth-openidc. It wants PASSPORT_ISSUER, CLIENT_ID,
# CLIENT_SECRET and SITE_URL.
set -eu
cd "$(dirname "$0")"
WORK=$(mktemp -d) # for whatever Apache reads and writes
trap 'rm -rf "$WORK"' EXIT
cp -R httpd.conf passport.conf pages "$WORK"
chmod -R a+rX "$WORK" # started as root, it reads the pages as www-data
ADDRESS=${SITE_URL#*://}
CRYPTO_PASSPHRASE=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export WORK ADDRESS CRYPTO_PASSPHRASE
[ "$(id -u)" != 0 ] || set -- -D ROOT
PATH=$PATH:/usr/sbin
apache2 "$@" -D FOREGROUND -f "$WORK/httpd.conf" &
site=$!
trap 'kill $site; wait $site; rm -rf "$WORK"' INT TERM
wait $site
