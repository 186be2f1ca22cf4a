# Everything a newcomer needs: `make demo`, `make test`. Each target does its own set-up.
# Only Python 3.11-3.13, make and a package index are asked of the machine.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
UV_VERSION := 0.13.8
UV := .tools/uv/bin/uv
BIN := .venv/bin
# An inherited "do not write byte code" makes every start two to three times slower.
unexport PYTHONDONTWRITEBYTECODE
# A folder that holds the examples' genuine data (docs/data.md); development keeps one here.
ifneq ($(wildcard ../shared/data),)
export PERENNIAL_DATA_MIRROR ?= $(abspath ../shared/data)
endif

.PHONY: help
help: ## show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "Perennial needs Python 3.11 to 3.13; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv .tools/uv
	.tools/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.done: $(UV) pyproject.toml uv.lock
	$(UV) sync --quiet --frozen --compile-bytecode --python $(PYTHON)
	@touch $@

.tools/sam/.done: $(UV) tools/sam.txt
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .tools/sam
	VIRTUAL_ENV=.tools/sam $(UV) pip install --quiet --compile-bytecode -r tools/sam.txt
	@touch $@

.PHONY: setup
setup: .venv/.done .tools/sam/.done ## install the project and its tools into this folder

.PHONY: up
up: setup ## start the local cloud (if none runs), build and deploy the stack
	@$(BIN)/perennial up --keep --deploy

.PHONY: demo
demo: setup ## show the whole loop on real data, on the local cloud
	@$(BIN)/perennial demo

.PHONY: demo-release
demo-release: setup ## show releases: staging, canary, a slow version rolled back, under load
	@$(BIN)/perennial demo-release

.PHONY: demo-drift
demo-drift: setup ## show drift noticed and acted on: monitors, alarms, a new champion
	@$(BIN)/perennial demo-drift

.PHONY: down
down: ## stop the local cloud and everything it runs
	@if [ -x $(BIN)/perennial ]; then $(BIN)/perennial down; else echo "Nothing is set up here yet, so nothing runs."; fi

.PHONY: test
test: setup ## run every suite (SUITES="unit template" for some), 14 minutes on two cores
	@$(BIN)/python tools/run_tests.py $(SUITES)

.PHONY: test-long
test-long: setup ## run the tests that `make test` leaves out: more of the same kind, for longer
	@$(BIN)/python tools/run_tests.py --long $(SUITES)

.tools/transformers/.done: $(UV) tools/transformers.txt jobs/requirements.txt
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .tools/transformers
	VIRTUAL_ENV=.tools/transformers $(UV) pip install --quiet --compile-bytecode \
	  $(if $(PIP_FIND_LINKS),--find-links $(PIP_FIND_LINKS)) \
	  -r jobs/requirements.txt -r tools/transformers.txt
	@touch $@

.PHONY: test-transformers
test-transformers: .tools/transformers/.done ## train the tiny DistilBERT of models/stars (installs torch)
	@.tools/transformers/bin/python -m pytest -q -c tests/transformers/pytest.ini tests/transformers

.PHONY: lint
lint: setup ## check style and types only
	@$(BIN)/python tools/run_tests.py lint format types
