# Every command first sets up .venv. The machine needs only Python 3.11 or newer, git and make.
.DEFAULT_GOAL := help

PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
BIN := .venv/bin
# Trust the certificates of the machine, as pip does: uv, and Node.js from 24.6 on.
export UV_SYSTEM_CERTS ?= true
export NODE_USE_SYSTEM_CA ?= 1
# Without byte code, every process would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
RUN := PYTHONPATH=tests $(BIN)/python
# Two more than there are cores, because many tests wait for disks, processes and networks.
WORKERS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 2)))

.PHONY: help demo quick test check format readme bench pictures

help:  ## List all commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-10s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/ready  ## Scaffold a project, install it, run it, kill it, and see its state survive
	@$(RUN) -m scripts.demo

# For example: make quick KIND=daemon TESTS="tests/test_daemon.py -x"
KIND ?= cli_tool
quick: .venv/ready  ## Check the changed files, and one rendered project: KIND, TESTS
	@$(RUN) -m scripts.quick $(KIND) $(TESTS)

test: .venv/ready  ## Run the whole suite
	$(RUN) -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder

check: .venv/ready  ## Check format, style, types and documentation
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pyright
	$(RUN) -m scripts.readme --check
	$(RUN) -m scripts.pictures --check
	$(RUN) -m pytest -n auto -q tests/test_repository.py

format: .venv/ready  ## Format the code and apply fixes of ruff
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

readme: .venv/ready  ## Rewrite the questions and the tree of the README
	$(RUN) -m scripts.readme

bench: .venv/ready  ## Measure speed side by side, and write the tables and plots
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --group bench
	$(RUN) -m benchmarks

pictures: .venv/ready  ## Redraw the pictures of the README
	$(RUN) -m scripts.pictures

.venv/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and not on the PATH." >&2; exit 1; }
	@echo "Setting up .venv with $(PYTHON) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --group dev
	@touch $@
