# make test is what CI runs; make quick is for between two edits.
.PHONY: build test quick fault pictures bench run

build: ## the programs, as they are released: static, without the paths of this machine
	CGO_ENABLED=0 go build -trimpath -o dist/passport ./cmd/passport
	CGO_ENABLED=0 go build -trimpath -o dist/passload ./cmd/passload

test: ## everything, on both databases and in a browser; installs on Debian what it needs
	@deploy/test/all.sh

quick: ## at most three minutes: SQLite, no browser
	@deploy/test/quick.sh

.PHONY: ha ha-db
ha: ## a rolling restart of three replicas behind HAProxy and behind nginx, and an upgrade behind HAProxy, under load: writes deploy/ha/RESULTS.md
	@deploy/ha/run.sh ha

ha-db: ## the primary of three PostgreSQL nodes is killed under load: writes deploy/ha/RESULTS.md
	@deploy/ha/run.sh ha-db

fault: ## replicas killed and connections cut under load, and a checker that judges by what was acknowledged
	@deploy/ha/run.sh fault

pictures: ## screenshots of every page into dist/pictures
	PASSPORT_PICTURES="$(CURDIR)/dist/pictures" go test -tags pictures -count=1 -timeout 20m -run '^TestPictures$$' ./pkg/web

bench: ## how fast, beside node-oidc-provider: writes deploy/bench/RESULTS.md; nothing else may run meanwhile
	@deploy/bench/run.sh

.PHONY: bench-scale
bench-scale: ## how fast with a million accounts and ten million grants: writes deploy/bench/SCALE.md; an hour and a quarter
	@deploy/bench/scale.sh

.PHONY: axe
axe: ## axe-core on every page that there are pictures of (make test: on a share of them)
	PASSPORT_AXE=all go test -tags e2e -count=1 -timeout 20m -run '^TestAccessibility$$' ./pkg/web

.PHONY: enumeration
enumeration: ## do answers about known and unknown addresses take as long? writes deploy/enumeration/RESULTS.md
	go test -tags 'e2e enumeration' -count=1 -v -timeout 60m -run '^TestStatistics$$|^TestEnumerationTimes$$' ./cmd/passport

run: ## the server with everything that is needed to try it
	go run ./cmd/passport serve --dev
