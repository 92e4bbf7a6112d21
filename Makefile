# Tasks. `make demo` and `make test` need nothing but Python >= 3.11: they make .venv on their first run, and install
# into it again only when pyproject.toml has changed.

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test quick lint check bench clean

help:
	@echo "make demo    virtual cameras, the daemon and a subscriber, with a verdict"
	@echo "make test    all tests"
	@echo "make quick   after each change: lint, unit and property tests with fewer examples and without the simulations of"
	@echo "             accuracy; a minute at most once mypy has its cache"
	@echo "make lint    ruff, mypy, import-linter"
	@echo "make check   lint and all tests: what CI runs"
	@echo "make bench   all benchmarks, beside other libraries: half an hour on a machine that does nothing else"
	@echo "make clean   remove .venv, caches and build results"
	@echo "PYTHON=python3.12 picks the interpreter; default: $(PYTHON)"

demo: .venv/.installed-core
	@$(BIN)/syncsvc demo

# Tests with processes wait more than they reckon: four at a time, and a fifth worker that only reckons, at a lower
# priority, keep two cores busy. tests/turns.py sees to it that those that measure by a real clock run while no other
# process starts.
PYTEST := $(BIN)/python -m pytest -n 5 --dist loadscope --no-loadscope-reorder

test: .venv/.installed-test
	@$(PYTEST)

LINT := $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

lint: .venv/.installed-lint
	@$(LINT)

quick: .venv/.installed-test .venv/.installed-lint
	@$(LINT) & lint=$$!; \
	$(PYTEST) -n 2 -q -m "not long" --hypothesis-profile quick tests/unit tests/properties; tests=$$?; \
	wait $$lint && exit $$tests

check: lint .venv/.installed-test
	@$(PYTEST)

bench: .venv/.installed-bench
	@for name in transport pipeline capacity latency article accuracy; do $(BIN)/syncsvc bench $$name || exit 1; done

clean:
	rm -rf .venv dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache
	find syncsvc tests -name __pycache__ -prune -exec rm -rf {} +

# One stamp per set of extras; `core` is the package alone.
.venv/.installed-%: pyproject.toml | .venv/bin/python
	@echo "installing syncsvc ($*) into .venv: a minute on the first run" >&2
	@what='.$(if $(filter core,$*),,[$*])'; \
	if command -v uv >/dev/null && uv pip install -q --python $(BIN)/python -e "$$what"; then :; \
	else $(BIN)/python -m pip install -q --disable-pip-version-check -e "$$what"; fi
	@touch $@

.venv/bin/python:
	@command -v $(PYTHON) >/dev/null || { \
		echo "make: $(PYTHON) is not there: install Python 3.11 or newer (Debian: apt-get install python3 python3-venv)" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: $$($(PYTHON) --version) is too old: syncsvc needs 3.11 or newer; name one: make PYTHON=python3.12 ..." >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "make: $(PYTHON) has no venv module: install it first (Debian: apt-get install python3-venv)" >&2; \
		exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
