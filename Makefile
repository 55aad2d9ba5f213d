# Targets of the project. Each sets up .venv by itself from plain Python 3.11 or 3.12 (tools/bootstrap.sh) and is quick the
# second time: the stamp's name holds the hash of everything the environment depends on.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
STAMP := .venv/.ready-$(shell { pwd; cat bootstrap.lock requirements.lock pyproject.toml tools/bootstrap.sh; } | sha256sum | cut -c1-16)
DAGSTER_PORT ?= 3000
PYTEST_ARGS ?=

export DO_NOT_TRACK := 1

.PHONY: help
help: ## show the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP):
	@bash tools/bootstrap.sh $@

.PHONY: env
env: $(STAMP) ## set up .venv from the lock

.PHONY: run
run: $(STAMP) ## set everything up and run the nightly job on seeds/ as of 2026-02-10
	@$(BIN)/loompin nightly --date 2026-02-10

.PHONY: test
test: $(STAMP) ## set up and run all tests but the browser's
	$(BIN)/python -m pytest tests --ignore=tests/ui -n 2 --dist loadfile $(PYTEST_ARGS)

.PHONY: test-ui
test-ui: $(STAMP) ## the browser tests (installs Debian's Chromium if it is missing)
	@bash tools/chromium.sh
	$(BIN)/python -m pytest tests/ui $(PYTEST_ARGS)

.PHONY: ui
ui: $(STAMP) ## the Dagster UI on loopback, with schedules and sensors on
	@DAGSTER_HOME="$$($(BIN)/python -m dagster_project.home)" \
	  exec $(BIN)/dagster dev --workspace workspace.yaml --host 127.0.0.1 --port $(DAGSTER_PORT)

.PHONY: bench
bench: $(STAMP) ## the benchmarks, each as a ratio beside what it is measured against
	@$(BIN)/python -m bench

.PHONY: lint
lint: $(STAMP) ## ruff, mypy --strict, sqlfluff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@mkdir -p .venv/lint
	LOOMPIN_HOME=$(CURDIR)/.venv/lint DBT_TARGET_PATH=$(CURDIR)/.venv/lint/target DBT_LOG_PATH=$(CURDIR)/.venv/lint \
	  $(BIN)/sqlfluff lint dbt_project/models dbt_project/tests

.PHONY: format
format: $(STAMP) ## put the Python code in ruff's form
	$(BIN)/ruff check --fix-only --exit-zero .
	$(BIN)/ruff format .

.PHONY: lock
lock: $(STAMP) ## resolve the newest versions that pyproject.toml allows into the locks
	.bootstrap/bin/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --python-version 3.11 --custom-compile-command 'make lock' --group dev pyproject.toml -o requirements.lock
	echo uv | .bootstrap/bin/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-annotate --python-version 3.11 --custom-compile-command 'make lock' - -o bootstrap.lock
	printf 'pyspark>=4,<4.1\nsetuptools\nwheel\n' | .bootstrap/bin/uv pip compile --quiet --upgrade --universal \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --python-version 3.11 \
	  --custom-compile-command 'make lock' - -o bench.lock
	@! grep -nE '://|--(extra-)?index|--find-links' requirements.lock bootstrap.lock bench.lock

.PHONY: clean
clean: ## remove the environment and caches; data/ (the record of every night) stays
	rm -rf .venv .bootstrap .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info dbt_project/target dbt_project/logs logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
