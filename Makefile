# Targets for people and for CI; `make help` lists them.

VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
TOOLS       := $(CURDIR)/.cache/tools
BUILD       := CGO_ENABLED=0 go build -trimpath -ldflags '-X main.version=$(VERSION)'

# DEPLOYS and BROKEN=1 change what `make soak` does.
DEPLOYS ?= 100
BROKEN  ?=

# ROUNDS is how often `make bench-systemd` measures each thing.
ROUNDS ?= 20

.DEFAULT_GOAL := help
.PHONY: prepare help build demo test check bench bench-systemd soak test-vm testroots lint fmt format vet unit hosted vulnerabilities fuzz soak-short deb deb-check docs

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 10

build: ## build bin/rollbridge
	@mkdir -p bin
	$(BUILD) -o bin/rollbridge ./cmd/rollbridge

demo: build ## deploy, re-deploy under load and roll back a real application, in half a minute
	@go run ./examples/demo -rollbridge bin/rollbridge

test: prepare format vet lint fuzz demo soak-short unit hosted deb-check test-vm ## everything that CI runs, in about twenty minutes

check: format vet lint unit ## format, vet, lint and unit tests: what to run before a commit

bench: ## run the benchmarks
	go test -run '^$$' -bench . -benchmem $$(go list ./... | grep -v /benchsystemd$$)

bench-systemd: testroots ## measure starts, stops, switches and adoptions on each systemd, as root, in some minutes: ROUNDS=20
	@go test -count=1 -timeout 60m -run '^$$' -bench . -benchtime $(ROUNDS)x ./cmd/rollbridge/benchsystemd

ifeq ($(BROKEN),)
soak: build ## many deploys under load: DEPLOYS=100; BROKEN=1 proves that failures are found
	@go run ./examples/soak -rollbridge bin/rollbridge -deploys $(DEPLOYS)
else
soak:
	@mkdir -p .cache
	$(BUILD) -tags brokenswitch -o .cache/rollbridge-broken ./cmd/rollbridge
	@go run ./examples/soak -rollbridge .cache/rollbridge-broken -deploys $(DEPLOYS) -broken
endif

deb: ## build the Debian package, dist/rollbridge_VERSION_ARCH.deb: ARCH=arm64, DEB_VERSION=0.3.1
	@rm -rf .cache/deb
	@packaging/deb/build .cache/deb --build=binary
	@mkdir -p dist && mv .cache/deb/*.deb dist/ && rm -rf .cache/deb
	@ls dist/rollbridge_*.deb

deb-check: ## check the Debian package: lintian, two builds that are the same, what is in it
	packaging/deb/check

docs: ## write docs/cli.md and the manual pages that are made of other texts
	go test ./cmd/rollbridge -run '^TestManual' -update

testroots: ## build the file systems of test hosts with systemd, as root, once
	@go run ./supervisor/systemd/systemdtest/testhost roots

test-vm: testroots ## run what needs a kernel of its own, in emulated machines, in some minutes
	CGO_ENABLED=0 ROLLBRIDGE_TEST_VM=1 go test -count=1 -timeout 30m -v ./cmd/rollbridge/emulated

lint: vulnerabilities ## staticcheck and govulncheck
	@GOBIN=$(TOOLS) go install $(STATICCHECK)
	$(TOOLS)/staticcheck ./...
	$(TOOLS)/staticcheck -tags brokenswitch,hang ./...

fmt: ## format the code
	gofmt -w $(shell git ls-files '*.go')

# The rest are parts of the targets above.

prepare:
	@bash .ci/prepare

format:
	@bad=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$bad" || { echo "not formatted (make fmt): $$bad"; exit 1; }

vet:
	go vet ./...

# Packages that test on hosts alone, one after the other: a host on each version of
# systemd is enough for two cores.
ON_HOSTS = git grep -l 'systemdtest\.\(Main\|Run\)\b' -- '*_test.go' ':!*testdata*'; \
	git grep -l 'systemdtest\.' -- 'cmd/rollbridge/*/*_test.go' ':!*/benchsystemd/*' ':!*/emulated/*'
HOSTED = $(patsubst %/,%,$(sort $(dir $(shell $(ON_HOSTS)))))

unit: testroots
	go test -race -count=1 $(filter-out $(HOSTED:%=rollbridge/%),$(shell go list ./...))

hosted: testroots
	go test -count=1 -p 1 $(HOSTED:%=./%)

# The data comes from the network; that it cannot be had is no fault of the code.
vulnerabilities:
	@GOBIN=$(TOOLS) go install $(GOVULNCHECK)
	@said=$$($(TOOLS)/govulncheck ./... 2>&1); status=$$?; echo "$$said"; \
	case "$$said" in *"fetching vulnerabilities"*) \
	  echo "warning: govulncheck could not reach its data; vulnerabilities were not checked"; status=0;; esac; \
	exit $$status

fuzz:
	bash .ci/fuzz

soak-short:
	@$(MAKE) --no-print-directory soak DEPLOYS=10
	@$(MAKE) --no-print-directory soak DEPLOYS=10 BROKEN=1
