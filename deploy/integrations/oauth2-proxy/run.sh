#!/bin/sh
# Installs and starts the proxy. It wants PASSPORT_ISSUER, CLIENT_ID, CLIENT_SECRET and SITE_URL, and may have
# UPSTREAM, the site behind it (default: the page here), and COOKIE_SECRET (default: a new one, and all sign in anew).
set -eu
cd "$(dirname "$0")"
version=v7.15.6
bin=${XDG_CACHE_HOME:-$HOME/.cache}/passport-integrations/oauth2-proxy-$version
[ -x "$bin/oauth2-proxy" ] || GOFLAGS="" GOBIN="$bin" go install "github.com/oauth2-proxy/oauth2-proxy/v7@$version"

site=${SITE_URL#*://}
issuer=${PASSPORT_ISSUER#*://}
page=$(mktemp -d)
trap 'rm -rf "$page"' EXIT
sed "s|ISSUER|$PASSPORT_ISSUER|; s|SITE|$SITE_URL|" page/index.html >"$page/index.html"

export OAUTH2_PROXY_OIDC_ISSUER_URL="$PASSPORT_ISSUER"
export OAUTH2_PROXY_CLIENT_ID="$CLIENT_ID" OAUTH2_PROXY_CLIENT_SECRET="$CLIENT_SECRET"
export OAUTH2_PROXY_REDIRECT_URL="$SITE_URL/oauth2/callback"
export OAUTH2_PROXY_WHITELIST_DOMAINS="$issuer" # where signing out goes on
export OAUTH2_PROXY_HTTP_ADDRESS="$site"
export OAUTH2_PROXY_UPSTREAMS="${UPSTREAM:-file://$page/#/}"
export OAUTH2_PROXY_COOKIE_SECRET="${COOKIE_SECRET:-$(head -c 24 /dev/urandom | base64)}"
case $SITE_URL in http:*) export OAUTH2_PROXY_COOKIE_SECURE=false ;; esac

"$bin/oauth2-proxy" --config oauth2-proxy.cfg &
proxy=$!
trap 'kill $proxy; rm -rf "$page"' INT TERM
wait $proxy
