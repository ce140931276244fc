# Two commands on a fresh machine with git, make and Python 3.11 or later:
#     make reproduce      install, train the main comparison, print its tables and claims
#     make test           install, test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS ?= runs
JOBS := $(shell nproc 2>/dev/null || echo 2)
# Where torch comes from, if not from where pip takes everything: docs/performance.md, Installation.
TORCH_INDEX ?=
PIP = $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

# One thread per process: two runs on two cores are faster than two threads for one run.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

.PHONY: help setup lint format types test test-slow slurm-test chaos wheel reproduce reproduce-all results reference docs bench clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/.installed  ## a virtual environment with batchlab and its pinned dependencies

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("batchlab needs Python 3.11 or later: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
ifneq ($(TORCH_INDEX),)
	$(PIP) --no-deps --index-url '$(TORCH_INDEX)' torch torchvision
else
	@test "$$(uname -sm)" != 'Linux x86_64' || command -v nvidia-smi > /dev/null || \
		echo 'no NVIDIA GPU is seen here: torch without 4 GB of CUDA libraries is in docs/performance.md, Installation'
endif
	$(PIP) --editable '.[dev,bench,docs]'
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

chaos: setup  ## kill sweeps at random moments, CHAOS_KILLS (100) times for each engine, and print what came of it
	$(BIN)/pytest -q -m chaos tests/runner/test_chaos.py

slurm-test: setup  ## sweeps on a Slurm of its own, where one can be installed and started
	$(BIN)/pytest -q -m slurm -rs tests/slurm tests/runner/test_executors.py

wheel: setup  ## build a wheel, install it elsewhere, run it from an empty folder
	$(BIN)/pytest -q -m wheel

reproduce: setup  ## the main comparison: arXiv 2508.03105 on this machine
	$(BIN)/batchlab reproduce sgdm_schedules --scale laptop --full --runs $(RUNS)

reproduce-all: setup  ## every paper's comparison on this machine
	$(BIN)/batchlab reproduce all --scale laptop --runs $(RUNS)

results: setup  ## docs/results.md, its figures and the README's part, from the runs in results/reproduced
	$(BIN)/python -m batchlab.results.page.write

reference: setup  ## docs/reference and the drawing in docs/architecture.md, from the code
	$(BIN)/python -m batchlab.runner.reference.write

docs: setup  ## the site, in build/docs; warnings are errors, and nothing is fetched
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs

bench: setup  ## every figure beside its peer
	for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:  ## everything that can be made again, runs excepted
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
