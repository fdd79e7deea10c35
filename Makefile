# Needs make and Python >= 3.11. Each target makes its own environment in .venv, once.
PYTHON ?= python3
VENV ?= .venv
OUT ?= out
CONFIG ?= configs/hpof.py
WORKDIR ?= runs/hpof

.PHONY: help reconstruct train test test-fast lint docs doctor clean
help:
	@echo 'make reconstruct [VIDEO=clip.mp4] [OUT=out]   the body in a video, per frame (no VIDEO: a sample)'
	@echo 'make train [CONFIG=configs/hpof.py] [WORKDIR=runs/hpof]'
	@echo 'make test [PYTEST_ARGS="-m \"not network\""]   lint and all tests'
	@echo 'make test-fast                               lint and the quick tests, offline'
	@echo 'make docs                                    the API pages, in docs/api/'
	@echo 'make lint | doctor | clean                    style; what is installed and missing; remove .venv'

# Paths reach the shell as variables, not as text: spaces and quotes in them are harmless.
export VIDEO OUT CONFIG WORKDIR

reconstruct: $(VENV)/.base
	$(VENV)/bin/python -m hpof_jax.reconstruct --out "$$OUT" $(if $(VIDEO),-- "$$VIDEO")

train: $(VENV)/.train
	$(VENV)/bin/python -m hpof_jax.train --config "$$CONFIG" --workdir "$$WORKDIR"

test: lint
	$(VENV)/bin/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile $(PYTEST_ARGS)

test-fast:
	@$(MAKE) test PYTEST_ARGS='-m "not slow and not network"'

lint: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

docs: $(VENV)/.docs
	$(VENV)/bin/python docs/build_api.py

doctor: $(VENV)/.base
	$(VENV)/bin/python -m hpof_jax.doctor

clean:
	rm -rf "$(VENV)"

# One stamp for each set of packages, renewed when the pins or the package's metadata change.
$(VENV)/.base: WHAT = .
$(VENV)/.train: WHAT = .[train]
$(VENV)/.docs: WHAT = .[train,docs]
$(VENV)/.test: WHAT = .[train,build,test]
$(VENV)/.base $(VENV)/.train $(VENV)/.docs $(VENV)/.test: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("hpof_jax needs Python 3.11 or newer, and $(PYTHON) is %d.%d: name another with PYTHON=..." % sys.version_info[:2])'
	@echo 'Installing into $(VENV), once: a minute or two.'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.txt -e '$(WHAT)'
	@touch $@
