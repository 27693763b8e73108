# Everything runs in a virtual environment of its own: .venv.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
PYTEST_ARGS ?=

.PHONY: demo test install lint bench conformance clean

demo: $(VENV)/.installed
	$(BIN)/velodrome run demo --out $(DEMO); status=$$?; \
	test $$status -gt 1 || $(BIN)/velodrome report $(DEMO); exit $$status

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n logical --maxprocesses 4 $(PYTEST_ARGS)

install: $(VENV)/.installed

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev
	$(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only -s

conformance: $(VENV)/.installed-dev
	$(BIN)/python tests/suites/conformance.py docs/conformance.md

clean:
	rm -rf $(VENV) $(DEMO)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found. Install one, or say where it is: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed
