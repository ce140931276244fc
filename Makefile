# Two commands on a fresh machine with git, make and Python 3.11 or later:
#     make reproduce      install, train the main comparison, print its table and claims
#     make test           install, test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS ?= runs
JOBS := $(shell nproc 2>/dev/null || echo 2)

# One thread per process: two runs on two cores are faster than two threads for one run.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

.PHONY: help setup lint format types test test-slow wheel reproduce reproduce-all bench clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/.installed  ## a virtual environment with batchlab and its pinned dependencies

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("batchlab needs Python 3.11 or later: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	mkdir -p $(VENV)/src && ln -sfn ../.. $(VENV)/src/batchlab
	touch $@

lint: setup  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup  ## put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup  ## static types
	$(BIN)/mypy -m batchlab -p batchlab.optimizers -p batchlab.datasets -p batchlab.results -p batchlab.runner

test: setup  ## the tests that take seconds each
	$(BIN)/pytest -q -n $(JOBS) --dist worksteal

test-slow: setup  ## the long ones
	$(BIN)/pytest -q -n $(JOBS) --dist worksteal -m slow

wheel: setup  ## build a wheel, install it elsewhere, run it from an empty folder
	$(BIN)/pytest -q -m wheel

reproduce: setup  ## the main comparison: arXiv 2508.03105 on this machine
	$(BIN)/batchlab reproduce sgdm_schedules --scale laptop --runs $(RUNS)

reproduce-all: setup  ## every paper's comparison on this machine
	$(BIN)/batchlab reproduce all --scale laptop --runs $(RUNS)

bench: setup  ## every figure beside its peer
	for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:  ## everything that can be made again, runs excepted
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
