# Everything a developer types. `make run` and `make test` set up what they need by themselves.

PYTHON := .venv/bin/python
CNOP := $(PYTHON) -m runtime.cli
PACKAGES := schemas runtime producers consumers read_models gateway simulation benchmarks

.DEFAULT_GOAL := help
.PHONY: help run up down status reset check audit format test bench clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/.ready ## Run the whole system with a live status; Ctrl-C stops it
	@$(CNOP) run

up: .venv/.ready ## The same in the background; returns when it is ready
	@$(CNOP) up

down: .venv/.ready ## Stop what `make up` started; the data stay
	@$(CNOP) down

status: .venv/.ready ## Show the processes that run
	@$(CNOP) status

reset: .venv/.ready ## Stop it and drop the local data
	@$(CNOP) reset

check: .venv/.ready ## Lint, format, types, imports, weak spots: what CI checks
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m pyright
	.venv/bin/lint-imports
	$(PYTHON) -m bandit --quiet --severity-level medium --recursive $(PACKAGES)

audit: .venv/.ready ## Look for known holes in what the locks name; asks PyPI
	.venv/bin/pip-audit --strict --disable-pip --no-deps --requirement requirements.lock

format: .venv/.ready ## Format the code
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

test: .venv/.ready ## All tests, on a real Kafka and DynamoDB Local
	$(PYTHON) -m pytest

bench: .venv/.ready ## Benchmarks, side by side in one run
	$(PYTHON) -m benchmarks

clean: ## Remove the environment and caches; the data stay
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.venv/.ready: requirements.lock pyproject.toml scripts/environment
	@echo "Preparing the environment in .venv (once)"
	@./scripts/environment
	@touch $@
