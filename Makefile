# Each target sets itself up: a virtual environment in .venv with the package and what it needs.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 4
COV ?= --cov --cov-report=term
bin := $(VENV)/bin
installed := $(VENV)/.installed

.PHONY: test lint types format demo bench rehearse generate docs release-check containers clean

$(installed): pyproject.toml dev-elector/pyproject.toml hatch_build.py leaderexec/process/launcher.c leaderexec/process/launcher.flags
	$(PYTHON) -m venv $(VENV)
	$(bin)/python -m pip install --quiet --editable '.[dev]' --editable ./dev-elector
	touch $@

test: $(installed)
	rm -f .coverage .coverage.*
	$(bin)/python -m pytest --numprocesses $(JOBS) $(COV) $(ARGS)

lint: $(installed)
	$(bin)/ruff check .
	$(bin)/ruff format --check .

types: $(installed)
	$(bin)/mypy

format: $(installed)
	$(bin)/ruff check --fix .
	$(bin)/ruff format .

demo: $(installed)
	$(bin)/python examples/demo.py

# What is measured is the program as users have it: compiled, and not editable.
bench: $(installed)
	$(PYTHON) -m venv .venv-bench
	env -u PYTHONDONTWRITEBYTECODE .venv-bench/bin/python -m pip install --quiet --force-reinstall --no-deps .
	env -u PYTHONDONTWRITEBYTECODE .venv-bench/bin/python -m pip install --quiet --compile ".[metrics]"
	env -u PYTHONDONTWRITEBYTECODE $(bin)/python benchmarks/latency.py --program .venv-bench/bin/leaderexec
	env -u PYTHONDONTWRITEBYTECODE $(bin)/python benchmarks/childlogs.py --program .venv-bench/bin/leaderexec
	PYTHONPATH=. $(bin)/python benchmarks/failover.py
	env -u PYTHONDONTWRITEBYTECODE $(bin)/python benchmarks/serving.py --program .venv-bench/bin/leaderexec
	$(bin)/python benchmarks/fidelity.py

# SECONDS=600 is the long one; a printed seed repeats a run: SEED=123.
rehearse: $(installed)
	PYTHONPATH=. $(bin)/python benchmarks/rehearsal.py --seconds $(or $(SECONDS),30) $(if $(SEED),--seed $(SEED))

# What the documentation takes from the code.
generate: $(installed)
	PYTHONPATH=docs:. $(bin)/python -m generator

docs: $(installed)
	$(bin)/mkdocs build --strict --site-dir build/site

# Real containers; what they need, and how the images are made, is in the script.
containers: $(installed)
	packaging/containers.sh
	$(bin)/python -m pytest tests/container

release-check: $(installed)
	$(bin)/python packaging/release_check.py

clean:
	rm -rf .venv .venv-* build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
