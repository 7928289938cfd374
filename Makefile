# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Needed are make and Python 3.11 or newer with venv; another one is named with `make PYTHON=python3.12 …`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check bench paper docs

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile

demo: $(VENV)/.installed ## the whole job on the drawn world, offline; writes report/
	$(BIN)/promptmlr demo --out report

test: $(VENV)/.installed-all ## all tests, a process per core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

check: $(VENV)/.installed-all ## lint, formatting, types, import direction
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/.installed ## measure what the README says about speed
	$(BIN)/python bench/speed.py

paper: $(VENV)/.installed ## compare the numbers of the documents with small runs of what made them
	$(BIN)/python bench/paper.py $(ONLY)

docs: $(VENV)/.installed-all ## build the site of docs/ into site/; a warning is an error
	$(BIN)/mkdocs build --strict

# Stamps: an installation that was cut short leaves none and is gone over again; the newer pip goes on with a download
# that broke off.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; name one: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	@echo "installing promptmlr into $(VENV); the first time takes minutes and some gigabytes (PyTorch)"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --quiet --upgrade pip
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-all: $(VENV)/.installed
	$(INSTALL) --editable '.[test,check]'
	@touch $@
