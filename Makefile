# `make` lists the targets. Each one sets up what it needs first, which takes no time when nothing has changed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

BIN := $(CURDIR)/.venv/bin
UV := $(CURDIR)/.tools/bin/uv
CODE := lambent spark_jobs models realtime dags demo infra tests

# Airflow makes its home where it is imported first: keep it in the checkout.
export AIRFLOW_HOME ?= $(CURDIR)/var/airflow
export PATH := $(BIN):$(PATH)

define say
printf '\033[1m%s\033[0m\n' "$(1)"
endef

.PHONY: help
help: ## Show this list
	@printf 'make TARGET, with TARGET one of\n\n'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: setup
setup: ## Make the environment in .venv: Python packages, Java, Delta's jars
	@infra/setup.sh

.PHONY: check
check: setup ## Check format, lint, types and the walls between packages
	@$(call say,Format and lint: ruff)
	ruff format --check .
	ruff check .
	$(call say,Types: mypy)
	mypy
	$(call say,Walls between packages: import-linter)
	lint-imports --no-logo

.PHONY: format
format: setup ## Format the code and mend what the linter can
	@$(call say,Format and mend: ruff)
	ruff check --fix --exit-zero --quiet .
	ruff format .

.PHONY: test
test: setup ## Run every test, with a real Valkey, Spark and Delta
	@$(call say,All tests: pytest in two processes)
	pytest -n 2 --dist loadgroup

.PHONY: test-unit
test-unit: setup ## Run only the tests that need no service
	@$(call say,Unit tests: pytest tests/unit)
	pytest tests/unit

.PHONY: test-long
test-long: setup ## Run the tests that take minutes
	@$(call say,Long tests: pytest -m long)
	pytest -m long

.PHONY: chaos
chaos: setup ## Kill and break parts under traffic, and see that nothing is lost or doubled; a quarter of an hour
	@$(call say,Chaos: pytest tests/chaos)
	pytest -m long tests/chaos $(ARGS)

.PHONY: bench-batch
bench-batch: setup ## Measure the batch layer at 20 million events; half an hour (ARGS="--events 2e6 --users 1e5" for less)
	@$(call say,Benchmark: the batch layer)
	python -m tests.benchmarks.batch $(ARGS)

.PHONY: bench-realtime
bench-realtime: setup ## Measure the realtime layer
	@$(call say,Benchmark: the realtime layer)
	python -m tests.benchmarks.realtime $(ARGS)

.PHONY: bench-acknowledge
bench-acknowledge: setup ## Measure what each meaning of 202 costs
	@$(call say,Benchmark: what 202 means)
	python -m tests.benchmarks.acknowledge

.PHONY: bench-train
bench-train: setup ## Measure training beside plain Keras; ten minutes (ARGS="--sessions 1e4 --memory" for less)
	@$(call say,Benchmark: training)
	python -m tests.benchmarks.train $(ARGS)

.PHONY: bench-model
bench-model: setup ## Measure the model against the truth of 200,000 simulated sessions (ARGS="--sessions 3e4" for less, "--real FILE" for a real log besides)
	@$(call say,Benchmark: the model)
	python -m tests.benchmarks.model $(ARGS)

.PHONY: demo
demo: setup ## Run the whole of Lambent once: INPUT=your.csv MAPPING=how-to-read-it.toml, or events it makes up
	@$(call say,The demo: lambent demo)
	lambent demo $(if $(INPUT),--input "$(INPUT)") $(if $(MAPPING),--mapping "$(MAPPING)") $(ARGS)

.PHONY: up
up: setup ## Run the whole system until Ctrl-C: store, server, worker, archiver, Airflow, MLflow (ARGS="--without airflow")
	@$(call say,The system: lambent up)
	exec lambent up $(ARGS)

.PHONY: docs docs-serve
docs docs-serve: export NO_MKDOCS_2_WARNING := 1
docs: setup ## Build the documentation, the reference from the code: var/site
	@$(call say,Documentation: mkdocs)
	mkdocs build --strict --quiet
	printf 'Open %s, or serve it: make docs-serve\n' "$(CURDIR)/var/site/index.html"

docs-serve: setup ## Show the documentation while it is written
	@$(call say,Documentation: mkdocs serve)
	mkdocs serve --strict --watch lambent --watch infra

.PHONY: lock
lock: setup ## Resolve pyproject.toml anew into requirements.lock
	@$(call say,Locking pyproject.toml into requirements.lock)
	$(UV) pip compile --quiet --universal --all-extras --generate-hashes \
	    --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	    $(if $(UPGRADE),--upgrade) pyproject.toml --output-file requirements.lock
	git diff --stat -- requirements.lock

.PHONY: clean
clean: ## Remove var/: tables, models, stores
	@$(call say,Removing var/)
	rm -rf var

.PHONY: distclean
distclean: clean ## Remove the environment too: .venv, .tools, .jars and caches
	@$(call say,Removing .venv .tools .jars and caches)
	rm -rf .venv .tools .jars .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
