#!/usr/bin/env bash
# What a person runs between two edits: SQLite alone, no browser, no race detector.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=deploy/test/lib.sh
. deploy/test/lib.sh

export PASSPORT_TEST_DATABASES=sqlite
step gofmt formatted
step "go vet" go vet ./...
step "go test" go test ./...
exit "$failed"
