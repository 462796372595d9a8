# `make demo` and `make test` need Python 3.10+ and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-gpu test-ray faults check lint docs serve format clean

demo: $(READY)
	$(BIN)/occlusion-search demo --out out/demo

test: $(READY) lint
	$(BIN)/python -m pytest -q --numprocesses 2 --dist loadfile

# The tests that compare a GPU with the CPU; without a GPU they are skipped, and a simulated one is tested.
test-gpu: $(READY)
	$(BIN)/python -m pytest -q -rs tests/gpu

# Jobs on a Ray cluster of three nodes, and RLlib; Ray is no part of the extra `dev`.
test-ray: $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[rllib]'
	$(BIN)/python -m pytest -q -rs tests/ray

# The fault tests at length: fuzzed inputs, kills (one for each hundred inputs) and environment steps (fifty for each
# input). `make test` runs a few of each.
FAULTS ?= 20000
faults: $(READY)
	OCCLUSION_SEARCH_FAULTS=$(FAULTS) $(BIN)/python -m pytest -q tests/faults

# Lint, types, spelling, and a minute of tests.
QUICK := tests/test_rooms.py tests/test_pages.py tests/test_figures.py tests/env/test_actions.py tests/env/test_rewards.py \
  tests/env/test_oracle.py tests/tracker/test_boxes_images.py tests/judging/test_measures.py tests/vae/test_loss.py
check: lint
	$(BIN)/python -m pytest -q --numprocesses 2 --dist loadfile -k 'not of_a_page and not site and not pictures' $(QUICK)

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/codespell -L tre,inpt,histroy,hsitory,evalute,scroe --skip '*.ipynb,*.js' README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs agents occlusion_env tracker vae tests examples

# The site is site/index.html; reading and searching it needs neither a server nor a network.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The same while you edit it, at http://127.0.0.1:8000.
serve: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; say make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) build dist *.egg-info out site
