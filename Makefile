# Everything a developer runs. `make help` lists the targets.
GO        ?= go
LINT      := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
BENCHSTAT := golang.org/x/perf/cmd/benchstat@latest
FUZZTIME  ?= 20s
BENCHTIME ?= 1s
BENCH     ?= .
REF       ?= HEAD~1

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## compile sluice and tg into bin/
	$(GO) build -trimpath -o bin/ ./cmd/...

PREFIX ?= /usr/local
BINDIR  = $(DESTDIR)$(PREFIX)/bin
MANDIR  = $(DESTDIR)$(PREFIX)/share/man/man1

# What is built already needs no Go to install, which root's PATH may lack.
bin/sluice bin/tg:
	$(GO) build -trimpath -o $@ ./cmd/$(@F)

.PHONY: install
install: bin/sluice bin/tg ## sluice, tg with its links and manual pages below PREFIX (/usr/local); FORCE=1 also replaces others' tg-login and its like
	@taken=; for name in $$(bin/tg links); do \
	  file="$(BINDIR)/$$name"; \
	  if [ "$$(readlink "$$file")" != tg ] && { [ -e "$$file" ] || [ -L "$$file" ]; }; then \
	    if [ "$(FORCE)" = 1 ]; then rm -f "$$file" || exit 1; else echo "$$file is not ours" >&2; taken=1; fi; \
	  fi; \
	done; \
	[ -z "$$taken" ] || { echo "nothing is installed; FORCE=1 replaces what is not ours" >&2; exit 1; }
	install -d "$(BINDIR)" "$(MANDIR)"
	install -m 755 bin/sluice bin/tg "$(BINDIR)"
	for name in $$(bin/tg links); do ln -sf tg "$(BINDIR)/$$name" || exit 1; done
	bin/tg man "$(MANDIR)"

.PHONY: uninstall
uninstall: ## remove what install put there
	for link in "$(BINDIR)"/tg-*; do \
	  if [ "$$(readlink "$$link")" = tg ]; then rm -f "$$link" "$(MANDIR)/$${link##*/}.1"; fi; \
	done
	rm -f "$(BINDIR)/sluice" "$(BINDIR)/tg" "$(MANDIR)/tg.1" "$(MANDIR)/tg-version.1" "$(MANDIR)/tg-completion.1"

.PHONY: run
run: ## gateway with embedded bus, IAM and demo services on 127.0.0.1:8088
	$(GO) run ./cmd/sluice dev

.PHONY: test
test: ## all tests with the race detector, then the allocation guards; starts a private RabbitMQ and Cassandra, installs clients
	scripts/clients run -- scripts/rabbitmq run -- scripts/cassandra run -- $(GO) test -race -count=1 -timeout 15m ./...
	$(MAKE) guard

.PHONY: guard
guard: ## allocation tests, budget, escape list, memory footprints (cannot run under the race detector)
	$(GO) test -count=1 -run 'Alloc|Budget|Escape|Footprint|MessageName' ./pool/... ./bus/... ./codec/... ./proxy/... ./bench/...

.PHONY: check
check: static test ## what CI runs: format, vet, lint, race tests, vectors, guards

.PHONY: static
static: fmt vet lint ## format, vet, lint

.PHONY: fmt
fmt: ## fail when a file is not gofmt-ed
	@files=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$files" || { echo "not formatted:"; echo "$$files"; exit 1; }

.PHONY: vet
vet:
	$(GO) vet ./...

.PHONY: lint
lint: ## golangci-lint with .golangci.yml
	$(GO) run $(LINT) run ./...

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME each
	@set -e; for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p; \
	  done; done

.PHONY: bench
bench: ## benchmarks (BENCH=regexp BENCHTIME=1s); starts a private RabbitMQ
	scripts/rabbitmq run -- $(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem ./bench/...

.PHONY: bench-diff
bench-diff: ## compare codec, auth and dispatch benchmarks with REF (default HEAD~1)
	@dir=$$(mktemp -d); git worktree add -q $$dir $(REF); \
	 pkgs='./codec ./proxy/auth ./proxy/dispatch'; \
	 (cd $$dir && $(GO) test -run '^$$' -bench . -count 6 -benchtime 200ms $$pkgs) > $$dir.old; \
	 $(GO) test -run '^$$' -bench . -count 6 -benchtime 200ms $$pkgs > $$dir.new; \
	 git worktree remove --force $$dir; $(GO) run $(BENCHSTAT) $$dir.old $$dir.new; rm -f $$dir.old $$dir.new
