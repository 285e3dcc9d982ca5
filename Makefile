# The city operations centre. Everything is set up on the first run; `make help` lists the targets.

SHELL := /bin/sh
# The Python of the environment that is there, else the first on this machine that is 3.11 or later.
PYTHON := $(shell for p in .venv/bin/python python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
SETUP = @$(if $(PYTHON),$(PYTHON) -m ioc.stack.bootstrap,echo "Python 3.11 or later is missing: apt-get install python3" >&2; exit 1;)
VENV := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo up test check soak bench bench-vision bench-query shots lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name what; do printf '  make %-12s %s\n' "$$name" "$$what"; done

setup: ## install what the demo needs, start nothing
	$(SETUP) demo

demo: setup ## the city live on http://localhost:8050; Ctrl-C ends it, data is kept
	@exec $(VENV)/ioc demo

up: setup ## the same without the simulator: for real devices
	@exec $(VENV)/ioc up

test: ## set up and run every test
	$(SETUP) test
	$(VENV)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

check: ## ruff, mypy (strict) and the import contracts
	$(SETUP) check
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/lint-imports

soak: ## every fault at length, then faults at random under load: make soak MINUTES=20, an hour if not said
	$(SETUP) test
	SOAK=$(or $(MINUTES),60) $(VENV)/python -m tests.faults

bench: ## measure ingest, vision and publish-to-page, each beside its peer
	$(SETUP) test
	$(VENV)/python -m tests.bench

bench-vision: ## measure vision alone, beside ultralytics and under overload (some five minutes)
	$(SETUP) test
	$(VENV)/python -m tests.bench vision

bench-query: ## build a month of 100 million readings (some 20 GB) once, and time the pages' queries on it
	$(SETUP) test
	$(VENV)/python -m tests.bench query

shots: ## take screenshots of every page of a running demo into tests/browser/shots
	$(SETUP) test
	$(VENV)/python -m tests.browser.shots

lock: ## resolve the dependencies anew into docker/locks
	$(SETUP) check
	$(VENV)/python -m ioc.stack.lock --upgrade

clean: ## stop the stack; remove its data, the virtual environment and everything else set-up made here
	@if [ -x $(VENV)/ioc ]; then $(VENV)/ioc stop; fi
	$(SETUP) clean
