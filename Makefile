# The two main commands: `make rehearse` practises a model swap on this machine; `make test` runs the tests.
# Both set up what they need first, once.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.requirements
EVALS := .venv-evals

# Where it is set, every process that the tests and the rehearsal start would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup setup-evals lock binaries rehearse test test-fast test-worlds faults mutants package policies policy-pack config monitoring lint format clean

# Times are for two idle cores with built binaries; building them takes about 13 minutes, once.
help:
	@echo "make rehearse     swap a model under live traffic on this machine; 4 to 6 minutes"
	@echo "make test         every test but the long ones; builds missing binaries first; 11 to 15 minutes"
	@echo "make test-fast    the fast tests, which need no binaries; 2 to 3 minutes"
	@echo "make test-worlds  rollouts in worlds: one cell of each fault, a kill after every kind of record; two benchmarks; 50 minutes"
	@echo "make faults       every fault at every moment, on fakes and in one world (CELLS=fault:moment,…); an hour"
	@echo "make mutants      change every condition of the policies and print the changes that no test notices; half an hour"
	@echo "make package      write the component package's inputs and schema from the settings"
	@echo "make policies     write the guide to the policies, docs/policies.md, from the policies"
	@echo "make policy-pack  write the policy pack as a folder that stands alone, dist/policy-pack, to publish it"
	@echo "make config       write docs/config.md, and the prices in docs/headroom.md, from the settings"
	@echo "make monitoring   write rules for Prometheus and a dashboard for Grafana, dist/monitoring (STACK=prod: its limits)"
	@echo "make setup-evals  install the evaluation harnesses of docs/evals.md into .venv-evals; about 2 minutes"
	@echo "make lock         pin the dependencies of pyproject.toml in requirements.txt, and those of the evals (needs uv)"
	@echo "make lint         ruff and the type checker"
	@echo "make clean        remove the virtual environment and the rehearsal's output"

$(STAMP): requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"Python 3.11 or newer is needed, {v[0]}.{v[1]} was found as \"$(PYTHON)\"; set PYTHON=/path/to/python3.11")'
	@echo "Setting up $(VENV) (once; about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --disable-pip-version-check --quiet --progress-bar on --require-hashes -r requirements.txt
	@touch $@

setup: $(STAMP)

# They share no package with the product, and are a gigabyte. The file names every package, so pip need not resolve.
$(EVALS)/.requirements: examples/evals/requirements.txt
	@echo "Setting up $(EVALS) (once; about 2 minutes)"
	@$(PYTHON) -m venv $(EVALS)
	@$(EVALS)/bin/python -m pip install --disable-pip-version-check --quiet --progress-bar off --no-deps --require-hashes -r $<
	@touch $@

setup-evals: $(EVALS)/.requirements

# Needs uv. What is pinned already stays as it is; name a package to raise it: UPGRADE="--upgrade-package httpx".
lock:
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		pyproject.toml --group rehearsal --group dev $(UPGRADE) -o requirements.txt
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		examples/evals/requirements.in $(UPGRADE) -o examples/evals/requirements.txt

binaries: setup
	@$(RUN) -m rehearsal.binaries build

rehearse: setup
	@$(RUN) -m rehearsal run

# The tiers are markers (pyproject.toml). Each run ends with the number of tests that it left out.
# For two cores: slow tests often wait for processes, so three workers run them. The order of the files is that of
# tests/conftest.py.
PYTEST := $(RUN) -m pytest --dist loadfile --no-loadscope-reorder --durations 10

test: binaries
	@$(PYTEST) -n 3 -m "not long_world"

test-fast: setup
	@$(PYTEST) -n 2 -m "not binaries and not slow and not long_world"

# WORLDS=tests/faults: some of them, by any arguments of pytest.
WORLDS ?=
test-worlds: binaries
	@$(RUN) -m pytest -m long_world --durations 10 $(WORLDS)

# Not part of any tier: all cells take about an hour.
CELLS ?= *
# It builds missing binaries itself, after it has read CELLS.
faults: setup
	@$(RUN) -m tests.faults --cells '$(CELLS)'

# Not part of any tier: it takes minutes, and evaluates the tests rather than the program.
mutants: setup
	@$(RUN) -m tests.mutants

package: setup
	@$(RUN) -m package.generate

policies: setup
	@$(RUN) -m policies.catalogue --markdown > docs/policies.md

policy-pack: setup
	@$(RUN) -m policies.standalone dist/policy-pack

config: setup
	@$(RUN) -m components.config.reference > docs/config.md
	@$(RUN) -m components.config.headroom docs/headroom.md

# STACK=prod SERVICE=chat: the limits of that service, instead of the defaults for every service.
monitoring: setup
	@$(RUN) -m scripts.monitoring $(if $(STACK),--stack $(STACK)) $(if $(SERVICE),--service $(SERVICE))

lint: setup
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(VENV)/bin/basedpyright

format: setup
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

clean:
	@test ! -x $(RUN) || $(RUN) -m rehearsal down --all
	rm -rf $(VENV) $(EVALS) dist rehearsal/out
