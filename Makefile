# `make` alone lists the targets. PYTHON=… chooses the interpreter for a new .venv, ARGS=… adds to pytest's arguments.
# WORKERS=… is how many tests run side by side, by itself a few more than there are cores; 0 is one after the other.
# DEPENDENCIES=newest or lowest installs a new .venv with what pyproject.toml allows instead of what constraints.txt says.
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
# $(call install,ENVIRONMENT,PACKAGES): with uv, which is several times faster than pip and is installed into .venv first.
# Falls back to pip where PyPI has no uv for this platform, or where only pip is configured to reach a package index.
# Nothing is compiled here: the first start compiles the modules that it imports, in less time.
install = $(BIN)/uv --version >/dev/null 2>&1 || $(PIP) install --only-binary :all: uv; \
  $(BIN)/uv pip install --quiet --python $(1)/bin/python $(2) || \
    { echo "Installing with pip, because uv failed …" >&2; $(PIP) --python $(1)/bin/python install $(2); }
# In the order of tests/support/parallel_run.py, handed out as tests/support/xdist_scheduler.py says.
PYTEST := $(BIN)/python -m pytest -q
SIDE_BY_SIDE := $(PYTEST) --numprocesses $(WORKERS)
RUN := .venv/installed
TEST := .venv/installed-for-tests
AUDIT := .venv/audit
AIRFLOW := .airflow/venv
# Whichever is there: the plugin of Docker, or Compose 1.29.
COMPOSE = $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose) --file compose/compose.yaml

# What the tests start hundreds of times is compiled once, whatever the surroundings ask for.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test fast bench faults check docs screenshots up down logs batch compose-test image-test airflow-test axe audit clean
.DELETE_ON_ERROR:

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

demo: $(RUN) ## The whole pipeline on the embedded broker, in seconds
	@$(BIN)/telco-stream demo

test: $(TEST) ## Every test that this machine can run, several side by side
	@$(SIDE_BY_SIDE) $(ARGS)

fast: $(TEST) ## The tests that need no Docker
	@$(SIDE_BY_SIDE) -m "not real and not own_broker and not slow" $(ARGS)

bench: $(TEST) ## Speed, latency and memory beside copy loops and other frameworks, on a real Kafka: some twenty minutes
	@$(BIN)/python -m benchmarks $(ARGS)

faults: $(TEST) ## The fault suite at full length: its table, and the same figures in build/faults.json
	@TELCO_STREAM_TEST_FULL=1 TELCO_STREAM_TEST_FIGURES=$(CURDIR)/build/faults.json \
	  $(PYTEST) -p no:cacheprovider tests/faults $(ARGS)

check: $(TEST) ## Linter, formatter, types, structure
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check . ; exit 1; }
	@$(BIN)/mypy --strict
	@$(PYTEST) tests/test_structure.py

docs: $(TEST) ## The generated parts of docs/, from the settings and the commands as they are
	@$(BIN)/python -m docs.generate

screenshots: $(TEST) $(AIRFLOW)/installed ## The pictures of docs/, from real runs; wants Docker, chromium and pdftoppm
	@$(BIN)/python -m docs.screenshots

up: ## Kafka, producer and consumer in containers; COMPOSE_PROFILES=ui,monitoring for more
	@$(COMPOSE) up --build --detach

down: export COMPOSE_PROFILES := ui,monitoring,batch
down: ## Stop and remove these containers; the volumes, and so the topics, stay
	@$(COMPOSE) down

logs: ## What the containers say, as they say it
	@$(COMPOSE) logs --follow --tail 50

batch: ## A file once, on topics of its own, and its report; BATCH_FILE=/path/to.csv for yours
	@$(COMPOSE) --profile batch up --build --detach batch-report
	@$(COMPOSE) --profile batch logs --follow --no-color batch-report

compose-test: ## Start the Compose file for real, kill what runs, check the ledger
	@compose/test/pipeline

image-test: ## Build both images and check them
	@compose/test/image

airflow-test: $(TEST) $(AIRFLOW)/installed ## Both DAGs in an Airflow of its own, on a real Kafka, with each fault
	@$(PYTEST) --timeout 600 airflow/tests $(ARGS)

axe: build/axe/node_modules/axe-core/axe.min.js ## What looks for barriers in the report's page, for `make test`; wants npm

# A mirror of the package index may have no advisories: each package is then "not found". ARGS=-sosv asks another service.
audit: $(AUDIT)/bin/pip-audit ## Known vulnerabilities of the exact versions that were tested; what cannot be looked up is a failure
	@$(AUDIT)/bin/pip-audit --progress-spinner off --strict --no-deps --disable-pip --requirement constraints.txt $(ARGS)

clean: ## Away with .venv, .airflow, caches and built packages; topics, checkpoints and settings stay
	@rm -rf .venv .airflow .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@for name in $(CANDIDATES); do \
	  if "$$name" -c '$(IS_USABLE)' 2>/dev/null; then exec "$$name" -m venv .venv; fi; \
	done; \
	echo "telco-stream needs Python 3.11 or newer with its venv module (Debian, Ubuntu: apt install python3-venv);" \
	  "none of these is one: $(CANDIDATES). PYTHON=/path/to/python names another." >&2; exit 1

# Without scripts, so that nothing of it runs but in the page under test.
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

# A stamp is newer than what it was installed from; without network nothing is fetched again as long as that holds.
$(RUN): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing telco-stream into .venv …" >&2
	@$(call install,.venv,$(VERSIONS) --editable .)
	@touch $@

$(TEST): $(RUN)
	@echo "Installing what the tests need …" >&2
	@$(call install,.venv,$(VERSIONS) --editable '.[test]')
	@touch $@
