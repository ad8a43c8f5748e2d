# Every target first sets up what is missing: a virtual environment in .venv with this package and its tools.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PEERS := .venv-peers
# One thread for each of the processes that share the tests: more threads than cores slow each other down.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=8 --dist=worksteal

.DEFAULT_GOAL := help
# The studies of the lab notebook: each has its commands in run.sh.
STUDIES := $(patsubst %/run.sh,%,$(wildcard experiments/*/run.sh))
ifdef paper
.DEFAULT_GOAL := paper
endif
.PHONY: help setup train sweep paper test test-all check format docs bench truth clean $(STUDIES)

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  make experiments/NAME   a study of the lab notebook, from where it was stopped, and its page"

setup: $(READY) ## make .venv and install the package into it (the other targets do this by themselves)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("needs Python 3.11 or newer; name one by PYTHON=...")'
	@echo "setting up .venv (a few minutes the first time)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

train: $(READY) ## a short real run on MNIST, under a minute
	@$(BIN)/vae-train experiment=quick

sweep: $(READY) ## ten KL weights, two schedules, two seeds on MNIST, about three minutes on two cores; ends in a report
	@$(BIN)/vae-train -m experiment=sweep kl_weight=0.01,0.1,0.5,1,2,4,7,10,20,100 \
		beta_schedule=constant,cyclical_linear seed=0,1; status=$$?; $(BIN)/vae-report runs/sweep && exit $$status

$(STUDIES): experiments/%: $(READY)
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh -e $@/run.sh; status=$$?; \
		$(BIN)/vae-report runs/$* --notebook experiments && exit $$status

paper: $(READY) ## what a paper published beside what the studies obtained: make paper=burda2015
	@$(BIN)/vae-report experiments --paper '$(or $(paper),all)'

test: $(READY) ## all tests but the slow ones, five minutes at most on two cores
	@$(PYTEST) -m "not slow"

test-all: $(READY) $(PEERS)/.ready ## all tests, the slow proofs included
	@$(PYTEST)

check: $(READY) ## lint, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY) ## put the code into its format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# Without --quiet, which would hide the warnings from --strict as well.
docs: $(READY) ## the documentation as a site, in site/; it fetches nothing when it is read
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict \
		&& echo "site/index.html; with search: $(BIN)/python -m http.server --directory site"

bench: $(READY) $(PEERS)/.ready ## speed and memory beside a bare loop, Lightning and pythae; parts by BENCH="--only training"
	@$(BIN)/python -m benchmarks $(BENCH)

truth: $(READY) ## are forecasts and verdicts right? small models and interventions, half an hour; fills docs/truth
	@$(BIN)/python -m benchmarks.truth.onsets --output docs/truth/onsets.csv
	@$(BIN)/python -m benchmarks.truth.verdicts --output docs/truth/verdicts.csv
	@$(BIN)/python -m benchmarks.truth.page

# With our own torch and numpy, so that only the programs differ, and of ours the library alone, without what the
# commands need. Where it cannot be had, the benchmark's row says why, and the tests of it are skipped.
$(PEERS)/.ready: benchmarks/peers.txt $(READY)
	@echo "setting up $(PEERS), in which pythae and diffusers are (a few minutes the first time)"
	@$(PYTHON) -m venv $(PEERS)
	@$(BIN)/python -m pip list --format=freeze --disable-pip-version-check 2> /dev/null \
		| sed -nE 's/^((torch|numpy)==[^+]*).*/\1/p' > $(PEERS)/ours.txt
	@{ $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check \
		--requirement benchmarks/peers.txt --requirement $(PEERS)/ours.txt \
		&& $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--editable . ; } > $(PEERS)/pip.log 2>&1 && touch $@ || echo "the peers could not be installed; the rest goes on"

clean: ## remove .venv and caches; runs and data stay
	rm -rf .venv $(PEERS) site .mypy_cache .pytest_cache .ruff_cache
