#!/usr/bin/env bash
# Installs on Debian what the tests need and the machine lacks: PostgreSQL, Chromium, a C compiler (the race
# detector needs cgo), certutil, Postfix, and HAProxy and nginx for the replicas behind them; for deploy/integrations Apache's module, a JDK with Maven and Python's venv. Go and
# Node are the caller's. Where it may not install, it installs nothing: all.sh then tells what could not run.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=deploy/test/lib.sh
. deploy/test/lib.sh

missing=()
command -v gcc >/dev/null || command -v clang >/dev/null || missing+=(gcc libc6-dev)
postgres_bin >/dev/null || missing+=(postgresql)
browser >/dev/null || missing+=(chromium)
command -v certutil >/dev/null || missing+=(libnss3-tools)
# It brings apache2-bin, the program, but not apache2, the service: no web server is started.
[ -e /usr/lib/apache2/modules/mod_auth_openidc.so ] || missing+=(libapache2-mod-auth-openidc)
[ -x /usr/lib/postfix/sbin/master ] || missing+=(postfix)
command -v haproxy >/dev/null || missing+=(haproxy)
command -v nginx >/dev/null || missing+=(nginx)
command -v javac >/dev/null || missing+=(default-jdk-headless)
command -v mvn >/dev/null || missing+=(maven)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "missing: ${missing[*]} (only root on Debian can install them here)"
	exit 0
fi
echo "installing: ${missing[*]}"
# Without a configuration of its own Debian does not start a mail server: the test brings one.
if command -v debconf-set-selections >/dev/null; then
	echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
fi
install_packages "${missing[@]}"
