# The two commands that a newcomer needs come first. Everything else is what
# CI and contributors use; `make check` is exactly what CI runs of the Go code.

.PHONY: demo test check build lint golden docs accuracy bench fuzz peers browser postgres image check-new clean

GO     ?= go
SCENE  ?= checkout-full-subnet
ADDR   ?= 127.0.0.1:8080
TOOL    = $(GO) tool -modfile=tools/go.mod

demo: build ## Run the bot on a made-up Slack, Kubernetes and AWS
	bin/bot demo --scenario $(SCENE) --addr $(ADDR)

test: ## Run all tests that need nothing but Go
	$(GO) test -timeout 30m ./...

check: lint build test docs-fresh

build:
	$(GO) build -trimpath -o bin/bot ./cmd/bot

lint:
	@test -z "$$(gofmt -l cmd internal)" || { gofmt -l cmd internal; echo "run gofmt -w on these files"; exit 1; }
	$(GO) vet ./...
	$(TOOL) staticcheck ./...

golden: ## Rewrite the golden files; review the difference like code
	$(GO) test ./internal/diagnose/... ./internal/slackui/... ./internal/incident/... -update

docs: build ## Rewrite docs/checks from the checks themselves
	bin/bot checks --pages docs/checks

.PHONY: docs-fresh
docs-fresh: docs
	@test -z "$$(git status --porcelain docs/checks)" || { git status --short docs/checks; echo "docs/checks is not what the checks say: run make docs and commit it"; exit 1; }

accuracy: ## How often the diagnosis is right on the scenarios
	@$(GO) test ./internal/diagnose/catalogue -run TestScenarios -count=1 -v | sed -n 's/.*accuracy /accuracy /p'

bench: ## Latency from event to report, what reading costs, start and memory
	$(GO) test ./cmd/bot -run '^$$' -bench Bot -benchtime 1x -count 1 -timeout 10m

fuzz: ## Each fuzz test for a short while
	tools/fuzz 10s

peers: ## The stand-ins against clients that we did not write
	tools/peers

browser: build ## The demo's page in headless Chromium; screenshots in out/screenshots
	tools/browser

postgres: ## The database tests on a real Postgres
	tools/postgres

image:
	docker build -t hopwise .

check-new: ## Start a new check: make check-new ID=l4/some-failure-mode
	tools/check-new $(ID)

clean:
	rm -rf bin out
