# make demo   set up ./.venv and run the main comparison on the built-in benchmark
# make test   set up the same, and a Chromium for the tests of the HTML report; run linter and tests
# make docs   set up the same; the documentation as a site in ./site
# make constraints   renew tools/dev/constraints.txt: the versions that all these install; of the
#                    app, constraints_app.txt
#
# PYTHON=python3.12                                    the interpreter that ./.venv is made from
# TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu  PyTorch from this index (here: CPU build)
# TORCH=torch==2.4.1                                   another version of PyTorch
# CONSTRAINTS=                                         the newest versions of all else
# WORKERS=1                                            processes that share the tests (default: 2)
# ARGS="..."                                           options for the demo or for pytest

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
WORKERS ?= 2
export TORCH ?= torch==2.13.0
export TORCH_INDEX_URL ?=
export OMP_WAIT_POLICY ?= PASSIVE
BIN := $(VENV)/bin

.PHONY: help setup demo chromium test test-fast lint format docs doctor constraints clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile

setup:
	@test -n "$(PYTHON)" || { echo "make: no Python found; run: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) tools/dev/setup_env.py --venv $(VENV)

demo: setup
	@$(BIN)/python tools/demo.py $(ARGS)

lint: setup
	@$(BIN)/ruff check .

format: setup
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

chromium: setup
	@$(BIN)/python tools/dev/setup_chromium.py

test: lint chromium
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal $(ARGS)

test-fast: lint chromium
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "not slow" $(ARGS)

docs: setup
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --config-file tools/dev/mkdocs.yml --strict --quiet && echo "site/index.html"

constraints:
	@$(PYTHON) tools/dev/setup_env.py --renew

doctor: setup
	@$(BIN)/python -m negas.doctor

clean:
	rm -rf $(VENV) build dist site *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
