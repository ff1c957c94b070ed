#!/bin/sh
# Installs what the site needs and starts it. It wants PASSPORT_ISSUER, CLIENT_ID, CLIENT_SECRET and SITE_URL.
set -eu
cd "$(dirname "$0")"
venv=${XDG_CACHE_HOME:-$HOME/.cache}/passport-integrations/authlib
[ -x "$venv/bin/pip" ] || python3 -m venv "$venv" # Debian: apt install python3-venv
"$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
exec "$venv/bin/python" app.py
