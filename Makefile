# The first command in an empty clone may be any of these: set-up is part of it.
#
#   make demo        train one CNN on every backend, eager and compiled, and compare
#   make test        lint, types and the test suite
#   make test-full   the same with the long sweeps and the wheel installs
#   make lint | bench | clean

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
TYPING := .venv/typing
# mypy finds a package's parts by folder, not by setuptools' package-dir; links put them where they are imported from

.PHONY: demo test test-full lint bench clean

demo: $(INSTALLED)
	$(BIN)/unified demo

test: lint
	$(BIN)/python -m pytest -q -m "not full" -n 2 --dist worksteal tests

test-full: lint
	$(BIN)/python -m pytest -q --hypothesis-profile=search -n 2 --dist worksteal tests

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf $(TYPING) && mkdir -p $(TYPING)/unified
	ln -s $(CURDIR)/unified/* $(CURDIR)/backends $(CURDIR)/models $(TYPING)/unified
	cd $(TYPING) && ../bin/mypy --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/.mypy_cache -p unified

bench: $(INSTALLED)
	$(BIN)/python -m tests.benchmarks.dispatch
	$(BIN)/python -m tests.benchmarks.autograd
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.compile

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo.png
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
