# `make` lists the targets. PYTHON=… selects the interpreter for a new .venv, ARGS=… adds arguments for pytest.
# WORKERS=… is the number of parallel tests, by default the number of cores + 2; 0 runs them one after another.
# SERVICES=… selects the services of `make logs`, COMPOSE_PROFILES=ui,monitoring adds some to `make up`.
# DEPENDENCIES=newest or lowest installs the newest or oldest versions that pyproject.toml allows, not constraints.txt.
PYTHON ?=
DEPENDENCIES ?= tested
ARGS ?=
WORKERS ?= auto
CANDIDATES = $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
IS_USABLE = import ensurepip, sys; sys.exit(sys.version_info < (3, 11))

BIN := .venv/bin
VERSIONS_tested := --constraint constraints.txt
VERSIONS_newest := --upgrade
VERSIONS_lowest := --resolution lowest-direct
VERSIONS := $(VERSIONS_$(DEPENDENCIES))
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# $(call install,ENVIRONMENT,PACKAGES): installs with uv, which is several times faster than pip, from .venv.
# Falls back to pip if PyPI has no uv for this platform, or if only pip is configured for a package index.
# It compiles no bytecode: the first start compiles the imported modules in less time.
install = $(BIN)/uv --version >/dev/null 2>&1 || $(PIP) install --only-binary :all: uv; \
  $(BIN)/uv pip install --quiet --python $(1)/bin/python $(2) || \
    { echo "Installing with pip, because uv failed …" >&2; $(PIP) --python $(1)/bin/python install $(2); }
# Parallel tests: tests/support/parallel_run.py sorts them, tests/support/xdist_scheduler.py assigns them to workers.
PYTEST := $(BIN)/python -m pytest -q
PARALLEL_PYTEST := $(PYTEST) --numprocesses $(WORKERS)
RUN := .venv/installed
TEST := .venv/installed-for-tests
TRAINING := .venv/installed-for-training
AUDIT := .venv/audit
AIRFLOW := .airflow/venv

# The tests start the package hundreds of times, so its bytecode is cached even if the environment forbids it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test training pages fast bench faults faults-short check docs screenshots up down logs batch compose-test image-test airflow-test axe audit clean
.DELETE_ON_ERROR:

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

demo: $(RUN) ## The whole pipeline on the embedded broker, in seconds
	@$(BIN)/telco-stream demo

test: $(TEST) ## All tests that can run here, without those below
	@$(PARALLEL_PYTEST) --ignore tests/faults --ignore tests/pages --ignore tests/training $(ARGS)

training: $(TRAINING) ## Train and import models of every kind, in a few minutes
	@$(PARALLEL_PYTEST) tests/training $(ARGS)

pages: $(TEST) ## Run the commands of every page, in about two minutes
	@$(PARALLEL_PYTEST) tests/pages $(ARGS)

fast: $(TEST) ## The tests without Docker
	@$(PARALLEL_PYTEST) -m "not real and not own_broker and not slow" $(ARGS)

bench: $(TEST) ## Compare throughput, latency, memory; about 20 minutes
	@$(BIN)/python -m benchmarks $(ARGS)

faults: $(TEST) ## The whole fault suite; figures in build/faults.json
	@TELCO_STREAM_TEST_FULL=1 TELCO_STREAM_TEST_FIGURES=$(CURDIR)/build/faults.json \
	  $(PYTEST) -p no:cacheprovider tests/faults $(ARGS)

faults-short: $(TEST) ## The short fault suite, in about three minutes
	@$(PARALLEL_PYTEST) tests/faults $(ARGS)

check: $(TEST) ## Linter, formatter, type checker, structure test
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check . ; exit 1; }
	@$(BIN)/mypy --strict
	@$(PYTEST) tests/test_structure.py

docs: $(TEST) ## Update the generated parts of docs/
	@$(BIN)/python -m docs.generate

screenshots: $(TEST) $(AIRFLOW)/installed ## Update docs/images; needs Docker, chromium, pdftoppm
	@$(BIN)/python -m docs.screenshots

up: ## Start Kafka, producer and consumer in containers
	@compose/run up

down: ## Remove the containers; the volumes with topics stay
	@compose/run down

logs: ## Follow the logs of producer and consumer
	@compose/run logs

batch: ## Score and report a file once; BATCH_FILE=/path/to.csv
	@compose/run batch

compose-test: ## Run the Compose file, kill processes, verify answers
	@compose/test/pipeline

image-test: ## Build both images and check them
	@compose/test/image

airflow-test: $(TEST) $(AIRFLOW)/installed ## Test the DAGs with Airflow, Kafka and faults
	@$(PYTEST) --timeout 600 airflow/tests $(ARGS)

axe: build/axe/node_modules/axe-core/axe.min.js ## Install axe-core for the report's test; needs npm

# Fails if a package cannot be looked up. A mirror of the package index may have no advisories ("not found" for each package): ARGS=-sosv uses another service.
audit: $(AUDIT)/bin/pip-audit ## Check the tested versions for known vulnerabilities
	@$(AUDIT)/bin/pip-audit --progress-spinner off --strict --no-deps --disable-pip --requirement constraints.txt $(ARGS)

clean: ## Remove .venv, .airflow, caches and builds
	@rm -rf .venv .airflow .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@for name in $(CANDIDATES); do \
	  if "$$name" -c '$(IS_USABLE)' 2>/dev/null; then exec "$$name" -m venv .venv; fi; \
	done; \
	echo "telco-stream needs Python 3.11 or newer with its venv module (Debian, Ubuntu: apt install python3-venv);" \
	  "not found among $(CANDIDATES). Set PYTHON=/path/to/python." >&2; exit 1

# Without install scripts, so that it runs only in the page under test.
build/axe/node_modules/axe-core/axe.min.js: Makefile
	@mkdir -p build/axe
	@npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix build/axe axe-core@4.14.1
	@touch $@

$(AUDIT)/bin/pip-audit: | $(BIN)/python
	@$(BIN)/python -m venv --without-pip $(AUDIT)
	@$(call install,$(AUDIT),'pip-audit>=2.9')

$(AIRFLOW)/installed: airflow/requirements.txt airflow/constraints.txt | $(BIN)/python
	@echo "Installing Airflow into $(AIRFLOW) …" >&2
	@$(BIN)/python -m venv --without-pip $(AIRFLOW)
	@$(call install,$(AIRFLOW),--requirement airflow/requirements.txt --constraint airflow/constraints.txt)
	@touch $@

# The stamp files avoid another installation, which needs the network, until the dependencies change.
$(RUN): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing telco-stream and its libraries into .venv (about 460 MB) …" >&2
	@$(call install,.venv,$(VERSIONS) --editable .)
	@touch $@

$(TEST): $(RUN)
	@echo "Installing the test dependencies …" >&2
	@$(call install,.venv,$(VERSIONS) --editable '.[test]')
	@touch $@

# CatBoost and its own dependencies need as much space as everything else, and only tests of models use them.
$(TRAINING): $(TEST)
	@echo "Installing CatBoost (about 370 MB) …" >&2
	@$(call install,.venv,$(VERSIONS) --editable '.[catboost]')
	@touch $@
