# `make` alone lists the targets. PYTHON=… chooses the interpreter for a new .venv, ARGS=… adds to pytest's arguments.
PYTHON ?=
ARGS ?=
CANDIDATES = $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
IS_USABLE = import ensurepip, sys; sys.exit(sys.version_info < (3, 11))

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
RUN := .venv/installed
TEST := .venv/installed-for-tests

.PHONY: help demo test fast bench check clean
.DELETE_ON_ERROR:

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(RUN) ## The whole pipeline on the embedded broker, in seconds
	@$(BIN)/telco-stream demo

test: $(TEST) ## Every test that this machine can run: the fast ones first, then those on a real Kafka
	@$(BIN)/python -m pytest -q $(ARGS)

fast: $(TEST) ## The tests that need no Docker
	@$(BIN)/python -m pytest -q -m "not real and not own_broker" $(ARGS)

bench: $(TEST) ## Speed, latency and memory beside copy loops and other frameworks, on a real Kafka: half an hour
	@$(BIN)/python -m benchmarks $(ARGS)

check: $(TEST) ## Linter, formatter, types, structure
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --check . ; exit 1; }
	@$(BIN)/mypy --strict
	@$(BIN)/python -m pytest -q tests/test_structure.py

clean: ## Away with .venv, caches and built packages; topics, checkpoints and settings stay
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@for name in $(CANDIDATES); do \
	  if "$$name" -c '$(IS_USABLE)' 2>/dev/null; then exec "$$name" -m venv .venv; fi; \
	done; \
	echo "telco-stream needs Python 3.11 or newer with its venv module (Debian, Ubuntu: apt install python3-venv);" \
	  "none of these is one: $(CANDIDATES). PYTHON=/path/to/python names another." >&2; exit 1

# A stamp is newer than what it was installed from; without network nothing is fetched again as long as that holds.
$(RUN): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing telco-stream into .venv …" >&2
	@$(PIP) --editable .
	@touch $@

$(TEST): $(RUN)
	@echo "Installing what the tests need …" >&2
	@$(PIP) --editable '.[test]'
	@touch $@
