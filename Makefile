# What users, developers and the continuous integration run. Needs git, make, python3 (3.11 or newer) and python3-venv.
# Another interpreter: make PYTHON=python3.12 demo

PYTHON ?= python3
CUDA ?= cuda12
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: help demo test test-slow test-parity test-gpu mutations lint format types \
  bench bench-peers bench-optim bench-ops bench-memory bench-closure bench-evaluations bench-gpu clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 19

demo: $(VENV)/.demo ## train on handwritten digits; the picture goes to out/digits.png
	$(RUN) examples/digits.py

test: $(VENV)/.test ## run the tests
	$(RUN) -m pytest -m "not parity and not slow"

test-slow: $(VENV)/.test ## run the tests that take long
	$(RUN) -m pytest -m "slow and not parity"

test-parity: $(VENV)/.parity ## compare with PyTorch
	$(RUN) -m pytest -m parity

test-gpu: $(VENV)/.gpu ## run the tests of the GPU on one; CUDA=cuda13 for CUDA 13
	MINIGRAD_GPU=required $(RUN) -m pytest tests/gpu

mutations: $(VENV)/.test ## plant errors in every optimizer and count how many the tests catch
	$(RUN) -m tests.mutations

lint: $(VENV)/.dev ## check style and format
	$(RUN) -m ruff format --check
	$(RUN) -m ruff check

format: $(VENV)/.dev ## bring the code into format
	$(RUN) -m ruff format
	$(RUN) -m ruff check --fix

types: $(VENV)/.dev ## check types
	$(RUN) -m mypy

bench: $(VENV)/.demo ## time a training step beside hand-written NumPy, and what else is installed
	$(RUN) benchmarks/train_step.py

bench-peers: $(VENV)/.peers ## the same, with PyTorch and JAX installed first
	$(RUN) benchmarks/train_step.py

bench-optim: $(VENV)/.demo ## time an optimizer's step alone
	$(RUN) benchmarks/optim_step.py

bench-ops: $(VENV)/.peers ## time every operation beside bare NumPy, MyGrad, autograd and PyTorch
	$(RUN) benchmarks/ops.py

bench-memory: $(VENV)/.peers ## peak memory of a training step, beside PyTorch
	$(RUN) benchmarks/memory.py

bench-closure: $(VENV)/.peers ## time a step of LBFGS beside PyTorch's and SciPy's
	$(RUN) benchmarks/closure.py

bench-evaluations: $(VENV)/.test ## count what LBFGS and conjugate gradients need on test problems, beside SciPy's
	$(RUN) benchmarks/evaluations.py

bench-gpu: $(VENV)/.gpu ## time optimizers and a training step on a GPU
	$(RUN) benchmarks/gpu.py

clean: ## remove the virtual environment and all that was generated
	rm -rf $(VENV) build dist out *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One file in the virtual environment for each set of extras that is installed, so that a second run installs nothing.
$(VENV)/.demo: EXTRAS = jit,examples
$(VENV)/.test: EXTRAS = test
$(VENV)/.parity: EXTRAS = parity
$(VENV)/.dev: EXTRAS = dev
$(VENV)/.peers: EXTRAS = jit,peers
$(VENV)/.gpu: EXTRAS = $(CUDA),test,parity

$(VENV)/.demo $(VENV)/.test $(VENV)/.parity $(VENV)/.dev $(VENV)/.peers $(VENV)/.gpu: pyproject.toml $(VENV)/.made
	$(RUN) -m pip install --editable '.[$(EXTRAS)]'
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "minigrad needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	    "Name another: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@
