# Targets of davit. `make help` lists them.

export CGO_ENABLED := 0
SHELL   := /bin/bash
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
PREFIX  ?= /usr/local
BUF     := $(GO) tool -modfile=.tools/buf/go.mod buf
LINT    := $(GO) tool -modfile=.tools/golangci-lint/go.mod golangci-lint
# What a machine must have so that no test is skipped for want of it: as root, what every Linux kernel of today has.
REQUIRE := $(if $(filter 0,$(shell id -u)),root$(comma)userns$(comma)overlay$(comma)cgroup)
comma   := ,
export DAVIT_TEST_REQUIRE ?= $(REQUIRE)

.DEFAULT_GOAL := help
.PHONY: help build demo test test-guest test-corpus escape faults race linear lint fmt generate verify fuzz bench bench-peers bench-go soak watch-soak thousand install uninstall deb test-systemd test-debian clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build davitd, davit-monitor and davit into bin/, static
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/davit ./cmd/davitd ./cmd/davit-monitor

demo: build ## show a domain's whole life in a temporary folder; as root on the native driver, else on the fake one
	$(GO) run ./internal/demo -bin bin

test: build ## run every test that this host and user can run, and say what was left out
	DAVIT_TEST_BIN=$(CURDIR)/bin $(GO) run ./internal/testrun -timeout 30m $(TESTFLAGS) ./...

test-guest: build ## run the privileged tests in a QEMU guest: pure cgroup v2, Debian's kernel 6.1 (needs QEMU; see internal/vmtest)
	$(GO) run ./internal/vmtest -bin bin $(GUESTFLAGS)

test-corpus: ## run the byte-for-byte test on a folder of libvirt's documents: make test-corpus DAVIT_CORPUS=dir
	DAVIT_CORPUS=$(DAVIT_CORPUS) $(GO) test -count=1 -run 'Corpus|RelaxNG|Jing' -v ./domain/... ./convert/...

ESCAPE_ROUNDS ?= 500
escape: build ## run hostile guests and documents against davitd, each race ESCAPE_ROUNDS times, and print what happened (needs root)
	@table=$$(mktemp); trap 'rm -f $$table' EXIT; status=0; \
	DAVIT_TEST_BIN=$(CURDIR)/bin DAVIT_ESCAPE_ROUNDS=$(ESCAPE_ROUNDS) DAVIT_ESCAPE_TABLE=$$table \
	  $(GO) test -count=1 -timeout 60m -v ./internal/escape $(ESCAPEFLAGS) || status=$$?; cat $$table; exit $$status

race: ## run the tests of the concurrent rooms under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -timeout 30m ./domain/... ./driver/fake/... ./driver/monitor/... ./server/... ./client/... ./internal/linear/...

LINEAR ?= 1m
linear: ## have 64 clients do anything to a few names for LINEAR, under the race detector, and check that an order explains it (needs a C compiler)
	CGO_ENABLED=1 DAVIT_TEST_LINEAR=$(LINEAR) $(GO) test -race -count=1 -timeout 2h -v -run HistoryIsLinearizable ./internal/linear $(LINEARFLAGS)

lint: ## check style and the arrows between rooms
	$(BUF) lint
	$(LINT) run ./...

fmt: ## format Go and protobuf
	$(LINT) fmt
	$(BUF) format -w

generate: ## make the generated Go and the generated pages anew
	$(BUF) generate
	$(GO) test ./domain/... -run 'Docs|Page' -update
	$(GO) test ./internal/docs -run 'Pages' -update

verify: generate lint ## check that generated files are current, modules tidy and the code clean
	$(GO) mod tidy -diff
	$(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./...
	GOOS=darwin $(GO) build ./client/... ./cmd/davit ./domain/...
	GOOS=windows $(GO) build ./client/... ./cmd/davit ./domain/...
	git diff --exit-code

FUZZTIME ?= 60s
FUZZ ?= .
# Go before 1.27 may take the end of the time for a fault when it is busy (go.dev/issue/75804): it says "context deadline exceeded",
# writes no failing input, and is asked again. Whatever else fails, fails.
fuzz: ## run every fuzz target below the folders FUZZ for FUZZTIME
	@set -e; out=$$(mktemp); trap 'rm -f $$out' EXIT; \
	for pkg in $$(grep -rlE '^func Fuzz' --include='*_test.go' $(FUZZ) | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$pkg/*_test.go | cut -d' ' -f2); do \
	    for try in 1 2 3; do \
	      echo "== $$pkg $$f"; \
	      if (set -o pipefail; $(GO) test $$pkg -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x 2>&1 | tee $$out); then break; fi; \
	      if [ $$try = 3 ] || grep -q 'Failing input' $$out || ! grep -A1 '^--- FAIL: ' $$out | grep -qx ' *context deadline exceeded'; then exit 1; fi; \
	    done; done; done

bench: build ## measure what SPECIFICATION.md promises, as root; BENCHFLAGS=-short for a minute, "-lines filled,exec" for some lines
	$(GO) run ./internal/bench -bin bin -json build/bench.json -chart docs/performance.svg -page docs/performance.md $(BENCHFLAGS)

bench-peers: ## tell which other programs make bench can stand beside davit, and how to install them
	@$(GO) run ./internal/bench -peers

BENCHTIME ?= 100x
bench-go: build ## the benchmarks of the packages, BENCH=./driver/native for those of one
	DAVIT_TEST_BIN=$(CURDIR)/bin $(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) -timeout 60m $(or $(BENCH),./domain/... ./driver/... ./server/...)

DURATION ?= 10m
CYCLES ?= 1000
soak: build ## have domains live for DURATION and print what rises in davitd; attach and detach interfaces CYCLES times (as root with containers)
	DAVIT_TEST_BIN=$(CURDIR)/bin DAVIT_TEST_SOAK=$(DURATION) $(GO) test -count=1 -run '^TestSoak$$' -timeout 0 -v ./cmd/davitd
	DAVIT_TEST_BIN=$(CURDIR)/bin DAVIT_TEST_CYCLES=$(CYCLES) $(GO) test -count=1 -run HotplugCycles -timeout 60m -v ./driver/native

DOMAINS ?= 1000
RESTARTS ?= 20
watch-soak: build ## kill davitd RESTARTS times under a client that watches DOMAINS domains, and see that it is told each event once (as root with containers too)
	DAVIT_TEST_BIN=$(CURDIR)/bin DAVIT_TEST_DOMAINS=$(DOMAINS) DAVIT_TEST_RESTARTS=$(RESTARTS) \
	  $(GO) test -count=1 -run '^TestEveryEventArrivesOnce$$' -timeout 0 -v ./cmd/davitd

thousand: build ## kill davitd for DURATION under DOMAINS containers that live, end and are killed, see that three watchers are told each event once, and print what a restart takes (as root)
	DAVIT_TEST_BIN=$(CURDIR)/bin DAVIT_TEST_CROWD=$(DOMAINS) DAVIT_TEST_CROWD_TIME=$(DURATION) \
	  $(GO) test -count=1 -run '^TestCrowdOutlivesTheDaemon$$' -timeout 0 -v ./cmd/davitd

ROUNDS ?= 5
faults: build ## kill davitd, monitor, keeper and both, fail, hold and abandon each step of everything, ROUNDS times each (needs root; hours)
	DAVIT_TEST_BIN=$(CURDIR)/bin DAVIT_TEST_ROUNDS=$(ROUNDS) $(GO) test -count=1 -timeout 24h -v $(FAULTFLAGS) \
	  -run 'TestFaultAtEachStep|TestEachCallFails|TestDescriptorsRunOut|TestProcessesRunOut|TestKilledAtEachStep|TestSweepAfterKill|TestEachStepFails' ./driver/native

UNITDIR     ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
ZSHDIR      ?= $(PREFIX)/share/zsh/site-functions
UNITS := davitd.service davit-domains.service davitd.socket davitd-ro.socket davitd-admin.socket
PAGES := davit.1 davitd.toml.5 davitd.8 davit-monitor.8
DOCS  := LICENSE README.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md SECURITY.md SPECIFICATION.md
# Every file that install makes, below DESTDIR; uninstall removes them.
INSTALLED = $(PREFIX)/sbin/davitd $(PREFIX)/libexec/davit $(PREFIX)/bin/davit $(UNITS:%=$(UNITDIR)/%) $(SYSUSERSDIR)/davit.conf \
  $(foreach p,$(PAGES),$(PREFIX)/share/man/man$(subst .,,$(suffix $p))/$p) $(PREFIX)/share/doc/davit \
  $(PREFIX)/share/davit $(PREFIX)/share/bash-completion/completions/davit $(PREFIX)/share/fish/vendor_completions.d/davit.fish $(ZSHDIR)/_davit

install: build ## install into PREFIX (DESTDIR is honoured): programs, units, manual, completion, examples
	install -D -m 0755 bin/davitd $(DESTDIR)$(PREFIX)/sbin/davitd
	install -D -m 0755 bin/davit-monitor $(DESTDIR)$(PREFIX)/libexec/davit/davit-monitor
	install -D -m 0755 bin/davit $(DESTDIR)$(PREFIX)/bin/davit
	install -d $(DESTDIR)$(UNITDIR)
	for u in $(UNITS); do sed 's|@PREFIX@|$(PREFIX)|' cmd/davitd/systemd/$$u >$(DESTDIR)$(UNITDIR)/$$u && chmod 0644 $(DESTDIR)$(UNITDIR)/$$u || exit 1; done
	install -D -m 0644 cmd/davitd/systemd/davit.sysusers $(DESTDIR)$(SYSUSERSDIR)/davit.conf
	for p in $(PAGES); do install -D -m 0644 docs/man/$$p $(DESTDIR)$(PREFIX)/share/man/man$${p##*.}/$$p || exit 1; done
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/davit $(DOCS)
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/davit/docs docs/*.md
	for d in decisions examples; do install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/davit/docs/$$d docs/$$d/* || exit 1; done
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/davit/docs/schemas docs/schemas/README.md
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/davit/schemas docs/schemas/domain.rng docs/schemas/domain.schema.json
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d $(DESTDIR)$(ZSHDIR)
	GOARCH= $(GO) run ./cmd/davit completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/davit
	GOARCH= $(GO) run ./cmd/davit completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/davit.fish
	GOARCH= $(GO) run ./cmd/davit completion zsh >$(DESTDIR)$(ZSHDIR)/_davit

uninstall: ## remove what install made; state, logs and configuration stay
	rm -rf $(INSTALLED:%=$(DESTDIR)%)

DEBARCH ?= $(or $(GOARCH),$(shell $(GO) env GOARCH))
deb: ## build a Debian package into bin/, without root and without Debian's tools
	rm -rf .cache/deb
	GOARCH=$(DEBARCH) $(MAKE) install DESTDIR=$(CURDIR)/.cache/deb PREFIX=/usr ZSHDIR=/usr/share/zsh/vendor-completions VERSION=$(VERSION)
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || echo 0)} GOARCH= \
	  $(GO) run ./internal/deb -tree .cache/deb -version $(VERSION) -arch $(DEBARCH) -o $(or $(DEBFILE),bin)
	rm -rf .cache/deb

test-systemd: ## install, upgrade and purge the package under systemd in a QEMU guest (root; installs debootstrap where it is missing)
	command -v debootstrap >/dev/null || apt-get install -y --no-install-recommends debootstrap
	$(GO) run ./internal/systemdtest $(SYSTEMDFLAGS)

test-debian: build ## boot a Debian with systemd as a domain, log in, reboot it, shut it down (root; installs debootstrap where it is missing)
	command -v debootstrap >/dev/null || apt-get install -y --no-install-recommends debootstrap
	DAVIT_TEST_REQUIRE=root,userns,overlay,cgroup DAVIT_TEST_DEBIAN=$(CURDIR)/.cache/debian DAVIT_TEST_BIN=$(CURDIR)/bin \
	  $(GO) test -count=1 -timeout 60m -v ./internal/debiantest

clean: ## remove what was built
	rm -rf bin build .cache
