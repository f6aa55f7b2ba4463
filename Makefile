# Everything a person does with this repository. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3.11
PY := .venv/bin/python
UV := .venv/bin/uv
PROTOS := $(sort $(shell find protos -name '*.proto'))
# A registry mirror that pip is told of holds for uv too.
PIP_INDEX := $(shell $(PYTHON) -m pip config get global.index-url 2>/dev/null)
ifneq ($(PIP_INDEX),)
export UV_DEFAULT_INDEX ?= $(PIP_INDEX)
endif
export UV_LINK_MODE ?= copy

##@ Use it

.PHONY: demo
demo: install models ## Make one advert from Korean text, from nothing to a JPEG in out/
	@$(PY) -m deploy.local demo

.PHONY: run
run: install models ## Serve until Ctrl-C: prints the addresses of the API, its docs and the studio page
	@$(PY) -m deploy.local run

##@ Work on it

.PHONY: test
test: install models ## Set up everything and run all tests
	@$(PY) -m pytest -n 2 tests

.PHONY: faults
faults: install models ## Random faults under load, for SECONDS=600; again by the printed SEED=
	@$(PY) -m tests.faults --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED)) $(FAULTS)

.PHONY: deep
deep: install ## Other plays of the state machines and a search for seeded bugs, for SECONDS=600; again by SEED=
	@DEEP_SECONDS=$$(($(or $(SECONDS),600) / 3)) DEEP_SEED=$(SEED) $(PY) -m pytest -s tests/machines tests/seeded

.PHONY: bench
bench: install models ## Figures beside a named peer, printed and kept in build/bench.json; BENCH= names some
	@$(PY) -m tests.bench $(BENCH)

.PHONY: check
check: install ## Lint, types, import arrows, protos, stale files: under a minute
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports
	@.venv/bin/buf lint
	@rm -rf build/protos-before && mkdir -p build/protos-before/gen
	@git archive $(PROTO_BASE) protos buf.yaml | tar -x -C build/protos-before
	@cp -r gen/third_party build/protos-before/gen/
	@.venv/bin/buf breaking --against build/protos-before
	@$(PY) -m gateway.openapi --check docs/openapi.json

# The released protos, or before the first release the last commit.
PROTO_BASE ?= $(shell git describe --tags --match 'v*' --abbrev=0 2>/dev/null || echo HEAD)

.PHONY: format
format: install ## Format the code
	@$(PY) -m ruff format . && $(PY) -m ruff check --fix .

.PHONY: openapi
openapi: install ## Write docs/openapi.json anew from the protos
	@$(PY) -m gateway.openapi docs/openapi.json

.PHONY: train-diffusion
train-diffusion: models ## Train the bundled image model: hours on two cores, minutes on a GPU (DEVICE=cuda); resumes; STAGE= does one
	@.venv-models/bin/python -m inference.training.generator $(TRAIN_FLAGS) --processes $$(nproc)

.PHONY: train-segmenter
train-segmenter: models ## Train the bundled segmenter: hours on two cores; resumes; DEVICE= and STAGE= as above
	@.venv-models/bin/python -m inference.training.segmenter $(TRAIN_FLAGS)

TRAIN_FLAGS = --threads $$(nproc) $(if $(DEVICE),--device $(DEVICE)) $(if $(STAGE),--stage $(STAGE))

.PHONY: eval-models
eval-models: models ## Print the gates of the bundled models: value, null, ceiling, limit, met or not
	@.venv-models/bin/python -m inference.training.eval_models

.PHONY: lock
lock: .venv/.ready ## Resolve the locks anew; torch's CPU lock is kept by hand (see its header)
	$(UV) pip compile $(LOCK_FLAGS) requirements.in -o requirements.lock
	$(UV) pip compile $(LOCK_FLAGS) requirements-dev.in -o requirements-dev.lock
	$(UV) pip compile $(LOCK_FLAGS) requirements-models.in -o requirements-models.lock
	$(UV) pip compile $(LOCK_FLAGS) requirements-torch.in -c requirements-models.lock -o requirements-torch-cuda.lock
LOCK_FLAGS := -q --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.PHONY: clean
clean: ## Remove environments, generated code and caches; data/ and out/ stay
	rm -rf .venv .venv-models gen build .mypy_cache .ruff_cache .pytest_cache .hypothesis

##@ Pieces

.PHONY: install
install: .venv/.ready gen/.ready ## The environment of the services and the generated stubs

.PHONY: models
models: .venv-models/.ready ## The environment of the models (torch; about 2 GB with the CPU build)

.PHONY: protos
protos: gen/.ready ## Generate stubs and descriptors from the protos

.venv/.ready: requirements.lock requirements-dev.lock Makefile
	@echo "install: services' environment (.venv), about 600 MB"
	@$(PYTHON) -m venv .venv
	@$(PY) -m pip install -qq --disable-pip-version-check uv==0.13.9
	@$(UV) pip install --quiet --python $(PY) --require-hashes -r requirements.lock -r requirements-dev.lock
	@printf '%s\n%s\n' "$(CURDIR)" "$(CURDIR)/gen" > $$($(PY) -c 'import site; print(site.getsitepackages()[0])')/atelier.pth
	@touch $@

.venv-models/.ready: requirements-models.lock requirements-torch-cpu.lock requirements-torch-cuda.lock .venv/.ready
	@echo "install: models' environment (.venv-models)"
	@$(PYTHON) -m venv .venv-models
	@bash deploy/local/install_torch.sh .venv-models/bin/python
	@$(UV) pip install --quiet --python .venv-models/bin/python --require-hashes -r requirements-models.lock
	@printf '%s\n%s\n' "$(CURDIR)" "$(CURDIR)/gen" > $$(.venv-models/bin/python -c 'import site; print(site.getsitepackages()[0])')/atelier.pth
	@touch $@

gen/.ready: $(PROTOS) .venv/.ready
	@echo "install: stubs from the protos (gen/)"
	@rm -rf gen && mkdir -p gen/third_party/google
	@cp -r $$($(PY) -c 'import google.api, os; print(list(google.api.__path__)[0])') gen/third_party/google/api
	@find gen/third_party -type f ! -name annotations.proto ! -name http.proto ! -name field_behavior.proto -delete
	@PATH=$(CURDIR)/.venv/bin:$$PATH $(PY) -m grpc_tools.protoc -Iprotos -Igen/third_party \
		--python_out=gen --mypy_out=quiet:gen --grpc_python_out=gen --mypy_grpc_out=quiet:gen \
		--descriptor_set_out=gen/api.binpb --include_imports --include_source_info \
		$(PROTOS:protos/%=%)
	@touch $@

.PHONY: help
help: ## Explain every target
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
