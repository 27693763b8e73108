# Everything runs in the virtual environment .venv, which is made when it is first needed.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
PYTEST_ARGS ?=
# For `make heldout`: the weights that are judged, and where the stores go.
WEIGHTS ?= velo
HELDOUT ?= runs/heldout

# For `make regenerate-fashion-mnist`: the folder with the four files (Debian's package
# dataset-fashion-mnist has them there), and where the stores go.
FASHION_MNIST ?= /usr/share/datasets/fashion-mnist
REGENERATED ?= runs/fashion-mnist

.PHONY: demo test test-all install lint docs notebooks dist bench conformance heldout regenerate-fashion-mnist clean

demo: $(VENV)/.installed
	$(BIN)/velodrome run demo --out $(DEMO); status=$$?; \
	test $$status -gt 1 || $(BIN)/velodrome report $(DEMO); exit $$status

# Neighbours run in one process, which makes what they share once.
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal -m "not long" $(PYTEST_ARGS)

# `make test`, and then what takes long: kills, whole lists made again, every published task.
test-all: test
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal -m long

install: $(VENV)/.installed

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python scripts/check_imports.py

# The site, in site/. A link that leads nowhere is an error (with --quiet it would not be).
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

# What the cells of the notebooks show, after a source has changed.
notebooks: $(VENV)/.installed-dev
	$(BIN)/python scripts/execute_notebooks.py

# The two files of a release, in `dist`.
dist: $(VENV)/.installed-dev
	$(BIN)/python -m hatchling build -d dist

bench: $(VENV)/.installed-dev
	$(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only -s

conformance: $(VENV)/.installed-dev
	$(BIN)/python tests/suites/conformance.py docs/reference/conformance.md

heldout: $(VENV)/.installed
	$(BIN)/velodrome run heldout-40 --out $(HELDOUT)/40 --optimizers adam,$(WEIGHTS)
	$(BIN)/velodrome report $(HELDOUT)/40
	$(BIN)/velodrome run heldout-8 --steps 500 --out $(HELDOUT)/500 --optimizers adam,$(WEIGHTS)
	$(BIN)/velodrome run heldout-8 --steps 10000 --out $(HELDOUT)/10000 --optimizers adam,$(WEIGHTS)
	$(BIN)/velodrome run heldout-8 --steps 40000 --out $(HELDOUT)/40000 --optimizers adam,$(WEIGHTS)
	$(BIN)/velodrome run heldout-8 --out $(HELDOUT)/2000 --optimizers \
	  adam,$(WEIGHTS),horizon:0.25:$(WEIGHTS),horizon:0.5:$(WEIGHTS),horizon:2:$(WEIGHTS),horizon:4:$(WEIGHTS)
	$(BIN)/velodrome run heldout-8-width --out $(HELDOUT)/width --optimizers adam,$(WEIGHTS)
	$(BIN)/python scripts/generalisation.py $(HELDOUT)/500 $(HELDOUT)/2000 $(HELDOUT)/10000 \
	  $(HELDOUT)/40000 $(HELDOUT)/width

regenerate-fashion-mnist: $(VENV)/.installed
	$(BIN)/velodrome data prepare fashion_mnist --from $(FASHION_MNIST)
	$(BIN)/velodrome run velodrome-83/fashion_mnist --optimizers adam --baseline-multiple 1 \
	  --out $(REGENERATED)/networks
	for task in LOpt_AdafacMLPLOpt_FashionMnist_20 LOpt_MLPLOpt_FahionMnist_10 \
	  LOpt_ES4_AdafacMLPLOpt_FashionMnist_20; do \
	  $(BIN)/velodrome run velodrome-extended/$$task --optimizers adam --steps 1000 \
	    --baseline-multiple 1 --out $(REGENERATED)/$$task || exit 1; \
	done
	$(BIN)/python scripts/fashion_mnist.py $(REGENERATED)/*

clean:
	rm -rf $(VENV) $(DEMO) site

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found. Install one, or say where it is: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

# Dependency groups need pip 25.1; Python 3.11 comes with an older one.
$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[search,tensorboard]' --group dev
	@touch $@ $(VENV)/.installed
