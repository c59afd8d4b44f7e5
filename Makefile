# Two commands do everything on a machine with Python >= 3.11 and make:
#   make study   the main job: which optimizer is best? (4 to 10 minutes on 2 cores)
#   make test    the tests, but for the longest (7 to 10 minutes on 2 cores)
# Both make .venv first; repeated, they start at once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STUDY ?= optim_search
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help study test test-long test-all newest lint format docs bench catalogue dashboard clean-results clean-all

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

study: $(VENV)/.installed ## run the main job (STUDY=optim_search, ARGS="--quick")
	$(BIN)/python -m studies.run $(STUDY) $(ARGS)

dashboard: $(VENV)/.installed ## open optuna-dashboard on the study
	$(BIN)/python -m studies dashboard $(STUDY)

PYTEST = $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed-dev ## run the tests but the long ones (ARGS="-k idx")
	$(PYTEST) -m "not long" $(ARGS)

test-long: $(VENV)/.installed-dev ## run the long tests: servers, Ray, a browser, real kills
	$(PYTEST) -m long $(ARGS)

test-all: test test-long ## run every test

NEWEST := .venv-newest
NAMES = import re, tomllib; \
	project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	names = project["dependencies"] + project["optional-dependencies"]["dev"]; \
	print(*(re.match(r"[\w.-]+(\[\w+\])?", name)[0] for name in names), sep="\n")

newest: ## run the tests with the newest of all packages, beside .venv (ARGS="-k idx")
	$(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -c '$(NAMES)' > $(NEWEST)/names.txt
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade -r $(NEWEST)/names.txt
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	$(NEWEST)/bin/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder -m "not long" $(ARGS)

lint: $(VENV)/.installed-dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-docs ## build the documentation site in build/docs; a broken link is an error
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --fresh-env docs build/docs

catalogue: $(VENV)/.installed-dev ## run all studies in full, write docs/studies and docs/findings.md (hours)
	$(BIN)/python benchmarks/catalogue.py $(ARGS)
	$(BIN)/python benchmarks/findings.py

bench: $(VENV)/.installed-bench ## benchmarks against PyTorch and Lightning loops and a plain Optuna script
	$(BIN)/python benchmarks/trainer.py
	$(BIN)/python benchmarks/study.py

clean-results: ## delete what studies wrote
	find results -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +

clean-all: clean-results ## delete the environment and all caches too
	rm -rf $(VENV) $(NEWEST) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python >= 3.11 is needed, but {sys.executable} is {sys.version.split()[0]}; use make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

# Installed again only when the requirements have changed.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs]'
	touch $@
