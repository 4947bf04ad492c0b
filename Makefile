# All commands; CONTRIBUTING.md says more. Needs make and Python 3.11 or newer, nothing else.
# More arguments for a command: make test ARGS="-k commit"
PYTHON ?= python3
ARGS ?=
MINUTES ?= 10
SEED ?= 1
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo run test check torture lint fmt bench lock clean

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.project  ## create .venv with the pinned packages, where it is missing or outdated

demo: setup  ## show the detector at work on made-up metrics: no Kafka, no Docker, no configuration
	@$(BIN)/streamdet demo $(ARGS)

run: setup  ## run the detector: make run ARGS="--config FILE"
	@$(BIN)/streamdet run $(ARGS)

test: setup  ## run all tests; a real Kafka is started for them
	@$(BIN)/pytest $(ARGS)

check: lint  ## lint, then the tests that need no Kafka: the quick check before a commit
	@$(BIN)/pytest -m "not kafka" $(ARGS)

torture: setup  ## kill workers and brokers under load, check every event: MINUTES=60 SEED=1
	@$(BIN)/python -m tests.torture --minutes $(MINUTES) --seed $(SEED) $(ARGS)

lint: setup  ## check format, style, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

fmt: setup  ## format, and fix what can be fixed by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup  ## measure every bar of speed and memory: a table and a plot; ARGS="--only NAME"
	@$(BIN)/python -m benchmarks $(ARGS)

lock: setup  ## pin pyproject.toml's dependencies in requirements/; all to their newest: ARGS=--upgrade
	$(COMPILE) --output-file requirements/runtime.txt $(ARGS) pyproject.toml
	$(COMPILE) --output-file requirements/dev.txt --extra dev \
		--constraint requirements/runtime.txt $(ARGS) pyproject.toml

# No address of a registry and no local wheel gets into the locked files.
COMPILE = PIP_FIND_LINKS= CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet \
	--generate-hashes --strip-extras --allow-unsafe \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

clean:  ## remove .venv and everything else that was built
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Made anew, so that a package which left the pins leaves the environment as well.
.venv/.packages: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
		"streamdet needs Python 3.11 or newer; name one: make setup PYTHON=python3.12"; exit 1; }
	@echo "Installing the packages of requirements/dev.txt into .venv (once, about a minute) ..."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes \
		--requirement requirements/dev.txt
	@touch $@

.venv/.project: .venv/.packages pyproject.toml
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip --disable-pip-version-check install --quiet \
		--no-deps --no-build-isolation --editable .
	@touch $@
