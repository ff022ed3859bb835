# Needs Python 3.11 or newer and PyPI; the container tiers need Docker as well.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup run services test test-containers test-compose test-faults check format env-example lock

PYTHON ?= $(shell for p in python3.11 python3 python; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PACKAGES := libs/common services/gateway services/router services/auth clients/python
STAMP := .venv/.complete
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  make %-16s %s\n' "$$name" "$$text"; done

setup: $(STAMP) ## make the virtual environment .venv (about a minute, once)

$(STAMP): requirements.lock $(PACKAGES:%=%/pyproject.toml)
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found; name one: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; exit 1; }
	@echo "setup: virtual environment in .venv (about a minute, only this time)"
	@rm -f $(STAMP) && $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(PACKAGES:%=-e ./%)
	@touch $(STAMP)

run: setup ## start everything on this machine, with recorded data; Ctrl-C ends it
	@exec $(BIN)/python -m deploy.local --end-with-parent

services: setup ## list the running processes of make run
	@$(BIN)/python -m deploy.local services

test: setup ## all tests that need no Docker, on embedded servers
	DEFISTREAM_TEST_SERVERS=embedded $(PYTEST) -m "not containers and not compose"

test-containers: setup ## integration and end-to-end on Apache Kafka and Valkey in containers
	DEFISTREAM_TEST_SERVERS=containers $(PYTEST) -m "(servers or containers) and not compose"

test-compose: setup ## the whole system from docker-compose.yml, through HAProxy
	$(PYTEST) -m compose tests/compose

SEEDS ?= 1-20
test-faults: setup ## fault runs of SEEDS=1-20 on Apache Kafka and Valkey in containers (four minutes a seed)
	$(BIN)/python -m tests.faults --containers --seeds $(SEEDS)

check: setup ## lint, formatting, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(PACKAGES:%=%/src) $(PACKAGES:%=%/tests) deploy tests benchmarks conftest.py
	$(BIN)/lint-imports

format: setup ## mend formatting and what lint can mend
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

env-example: setup ## write .env.example anew from the settings
	@$(BIN)/python -m deploy.env_example >.env.example.new && mv .env.example.new .env.example

lock: setup ## resolve requirements*.in anew into the lock files
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile requirements.in -q --generate-hashes --universal --python-version 3.11 \
	  --no-emit-index-url --custom-compile-command "make lock" -o requirements.lock
	$(BIN)/uv pip compile requirements-services.in -q --generate-hashes --universal --python-version 3.11 \
	  --no-emit-index-url --custom-compile-command "make lock" -c requirements.lock -o requirements-services.lock

ifneq ($(wildcard benchmarks/.),)
.PHONY: bench bench-quick acceptance
bench: setup ## measure everything, beside others (an hour or two on a quiet machine)
	$(BIN)/python -m benchmarks all

bench-quick: setup ## prove in about a minute that each benchmark works; its figures mean nothing
	$(BIN)/python -m benchmarks all --quick

acceptance: setup ## measure the acceptance criteria connect, scale and Redis (about a minute)
	$(BIN)/python -m benchmarks.acceptance
endif
