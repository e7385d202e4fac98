# Each target is a few lines; what is longer lives in the package or in tools/.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS_check := check,test,export

.DEFAULT_GOAL := help
.PHONY: help demo test test-unit check format bench docs matrix chaos clean services viewer
ROUNDS ?= 50
# How many processes share the tests: one more than there are processors, for tests wait for servers a third of their time.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
SERVERS := orthanc or dcmtk or redis or pixelmed or postgres or rabbitmq or triton

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Overread needs Python 3.11 or newer; set PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-all: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS_check)]'
	@touch $@

demo: $(VENV)/.installed ## the main job on real images, on this machine
	$(BIN)/overread demo

services: # Orthanc, DCMTK, PixelMed, Redis, PostgreSQL, RabbitMQ for the tests, where the distribution has them
	@sh tests/services.sh

test: $(VENV)/.installed-all services ## the whole suite
	$(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

test-unit: $(VENV)/.installed-all ## what needs no server and no packages of the distribution, in two minutes
	$(BIN)/python -m pytest -n $(WORKERS) tests/unit -m "not ($(SERVERS) or slow)" $(PYTEST_ARGS)

check: $(VENV)/.installed-all ## what CI checks before it tests: format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict docker-compose.yml deploy
	$(BIN)/hadolint deploy/Dockerfile

format: $(VENV)/.installed-all ## write the format and the safe fixes
	$(BIN)/ruff check --fix --silent . ; $(BIN)/ruff format .

docs: $(VENV)/.installed-all ## write the generated parts of the documents
	$(BIN)/python -m tests.unit.docs.generated

chaos: $(VENV)/.installed-all services ## kill, cut, fill and lie for ROUNDS rounds, then count (SEED=... repeats a run)
	LEDGER_STORIES=50 $(BIN)/python -m pytest tests/integration/store/test_ledger_machine.py
	$(BIN)/python -m tests.chaos --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED))

viewer: $(VENV)/.installed-all ## results in a real viewer (OHIF in a headless browser), checked on pixels
	@sh tests/services.sh viewer
	$(BIN)/python -m pytest tests/viewer -p no:randomly $(PYTEST_ARGS)

matrix: $(VENV)/.installed-all services ## every kind of result before every validator: writes docs/validation.md
	$(BIN)/python -m tests.integration.results.page

bench: $(VENV)/.installed-all ## measure against named peers, in this run
	$(BIN)/python -m benchmarks

clean: ## remove what the targets above made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis demo-output
