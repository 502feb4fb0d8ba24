# The targets a user meets; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROFILE ?= --quick

.DEFAULT_GOAL := help
.PHONY: help install install-all reproduce test lab check bench slow soak services lock clean

help: ## list the targets, one line each
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | while IFS="$$(printf '\t')" read -r name what; do printf '  make %-12s %s\n' "$$name" "$$what"; done

install: ## build .venv with the core
	@$(PYTHON) locks/install.py core

install-all: ## build .venv with every extra (qlib, vectorbt, neo4j, live, apps, lab, rl, scale, tune, allocation, sentiment)
	@$(PYTHON) locks/install.py all

install-%: ## the extra '%' comes with everything else
	@$(PYTHON) locks/install.py all

reproduce: ## run both papers end to end and print the table (GWT_REAL_DATA=folder for real bars)
	@$(PYTHON) locks/install.py reproduce
	@$(BIN)/gwt reproduce all $(PROFILE)

test: ## run the everyday tests (Python alone, under 8 minutes)
	@$(PYTHON) locks/install.py test
	@$(BIN)/python -m pytest -q -n 2 -m "not slow and not soak" $(PYTEST)

slow: ## run the tests that take minutes
	@$(PYTHON) locks/install.py test
	@$(BIN)/python -m pytest -q -m slow $(PYTEST)

soak: ## run the long endurance tests
	@$(PYTHON) locks/install.py test
	@$(BIN)/python -m pytest -q -m soak $(PYTEST)

services: ## run the tests that want a browser, Java or Debian packages, and demand them
	@$(PYTHON) locks/install.py test
	@GWT_REQUIRE_SERVICES=1 $(BIN)/python -m pytest -q -m services $(PYTEST)

lab: ## open JupyterLab on the first notebook
	@$(PYTHON) locks/install.py all
	@$(BIN)/jupyter lab notebooks/01_explore.ipynb

check: ## lint, types, import contracts, sizes, notebook pairs
	@$(PYTHON) locks/install.py test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/check_sizes.py
	$(BIN)/python notebooks/check_pairs.py

bench: ## measure the figures of benchmarks/, equality first
	@$(PYTHON) locks/install.py test
	$(BIN)/python -m benchmarks

lock: ## resolve the locks again (universal, with hashes, naming no host)
	@$(PYTHON) locks/install.py test
	$(BIN)/python locks/resolve.py

clean: ## remove the environment and caches, never data
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
