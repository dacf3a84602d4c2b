# Two commands: `make rehearse` practises a model swap on this machine; `make test` runs every test.
# Both set up what they need first, once.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.requirements

.DEFAULT_GOAL := help
.PHONY: help setup binaries rehearse test faults mutants package policies lint format clean

help:
	@echo "make rehearse   swap a model under live traffic on this machine (REHEARSAL_ENGINE=embedded|pulumi|auto)"
	@echo "make test       run every test"
	@echo "make faults     break everything at every moment of a rollout, on fakes and in one world (CELLS=fault:moment,…)"
	@echo "make mutants    change every condition of the policies, and print what no test notices"
	@echo "make package    write the component package's inputs and schema from the settings"
	@echo "make policies   write the guide to the policies, docs/policies.md, from the policies"
	@echo "make lint       ruff and the type checker"
	@echo "make clean      remove the virtual environment and the rehearsal's output"

$(STAMP): requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"Python 3.11 or newer is needed, {v[0]}.{v[1]} was found as \"$(PYTHON)\"; set PYTHON=/path/to/python3.11")'
	@echo "Setting up $(VENV) (once; about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --disable-pip-version-check --quiet --progress-bar on --require-hashes -r requirements.txt
	@touch $@

setup: $(STAMP)

binaries: setup
	@$(RUN) -m rehearsal.binaries build

rehearse: setup
	@$(RUN) -m rehearsal run

test: binaries
	@$(RUN) -m pytest -n 2 --dist loadfile

# Not a part of `test`, which tries one cell of each fault: all of them take about an hour.
CELLS ?= *
faults: binaries
	@$(RUN) -m tests.faults --cells '$(CELLS)'

# Not a part of `test`: it takes minutes, and says something about the tests rather than about the program.
mutants: setup
	@$(RUN) -m tests.mutants

package: setup
	@$(RUN) -m package.generate

policies: setup
	@$(RUN) -m policies.catalogue --markdown > docs/policies.md

lint: setup
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(VENV)/bin/basedpyright

format: setup
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

clean:
	@test ! -x $(RUN) || $(RUN) -m rehearsal down --all
	rm -rf $(VENV) rehearsal/out
