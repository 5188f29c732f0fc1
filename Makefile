# Every target prepares what it needs. PG_CONFIG=/path/to/pg_config picks the server.
SHELL := /bin/sh
.DEFAULT_GOAL := help
HISTORIES ?= 5000
JOBS ?= 2
export PG_CONFIG HISTORIES SEED PERCENT LARGEST UPGRADE_FROM

BASE_PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
PYTHON := .venv/bin/python
COMPILE := .venv/bin/uv pip compile -q $(UPGRADE) --universal --generate-hashes --no-annotate --custom-compile-command 'make lock'
COMMAND := /usr/local/bin/vsync
VENV_STAMP := .venv/stamp-$(shell sha256sum <pyproject.toml | cut -c1-16)

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## system packages: PostgreSQL, PL/Python, pgvector (as root; otherwise says what is missing)
	@docker/debian.sh

venv: $(VENV_STAMP) ## .venv for the command line and the tests

$(VENV_STAMP): | setup
	@echo "making .venv" >&2
	@test -x $(PYTHON) || $(BASE_PYTHON) -m venv .venv
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --root-user-action=ignore -e '.[dev]'
	@rm -f .venv/stamp-* && touch $@

build: venv ## build/vsync--VERSION.sql from the files in sql/
	@$(PYTHON) -m vsync_admin.extension build

install: venv ## engine and extension files into the server of PG_CONFIG, vsync into /usr/local/bin
	@$(PYTHON) -m vsync_admin.placement install
	@[ -e $(COMMAND) ] || ln -sfn "$(CURDIR)/.venv/bin/vsync" $(COMMAND) 2>/dev/null \
		|| echo 'for the command line: export PATH="$(CURDIR)/.venv/bin:$$PATH"' >&2

uninstall: venv ## take them out again
	@$(PYTHON) -m vsync_admin.placement remove
	@[ "$$(readlink $(COMMAND))" != "$(CURDIR)/.venv/bin/vsync" ] || rm $(COMMAND)

up: install ## start the private cluster of this checkout
	@.venv/bin/vsync dev up

down: venv ## stop it; its data stays
	@.venv/bin/vsync dev down

psql: up ## psql in it
	@.venv/bin/vsync dev psql

dsn: ## print its connection string and nothing else
	@$(MAKE) --no-print-directory venv >&2
	@.venv/bin/vsync dev dsn

demo: install ## the main job, end to end, on real rows
	@.venv/bin/vsync demo

test: install ## all tests, in two processes (make test JOBS=0: in one)
	@$(PYTHON) -m pytest -n $(JOBS) --dist worksteal

soak: install ## the property-based tests with thousands of histories (make soak HISTORIES=2000)
	@$(PYTHON) -m pytest -m soak --hypothesis-profile=soak -v -o faulthandler_timeout=1800

chaos: install ## everything that can break, broken under load (make chaos SEED=7 PERCENT=10)
	@$(PYTHON) -m pytest -m 'chaos or battery' -v -o faulthandler_timeout=3600

lint: venv ## ruff, import-linter, pyright, the SQL checks
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .
	@.venv/bin/lint-imports --no-logo >.venv/lint-imports.log 2>&1 || { cat .venv/lint-imports.log; exit 1; }
	@.venv/bin/pyright --pythonpath $(PYTHON)
	@$(PYTHON) tests/lint_sql.py
	@.venv/bin/sqlfluff lint --disable-progress-bar --nocolor $$(find sql -name '*.sql' ! -name install.sql) >.venv/sqlfluff.log || { cat .venv/sqlfluff.log; exit 1; }

bench: install ## the benchmarks, as a table and as JSON
	@$(PYTHON) -m tests.bench

benchmark: install ## the same, docs/benchmark.md with its plots, and the README's table (make benchmark LARGEST=10000000)
	-@$(PYTHON) -m tests.bench
	@$(PYTHON) -m tests.bench.document

mutants: install ## take each protection out; a test must fail
	@$(PYTHON) -m tests.mutants

lock: venv ## the locks of the command line and of the server's engine (make lock UPGRADE=--upgrade takes newer releases)
	@$(COMPILE) pyproject.toml -o requirements.lock
	@echo huggingface-hub | $(COMPILE) plpython/requirements.in -c requirements.lock --python-version 3.11 --excludes /dev/stdin -o plpython/requirements.lock

clean: ## remove what was built here; clusters and servers stay
	@rm -rf .venv build dist .hypothesis .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup venv build install uninstall up down psql dsn demo test soak chaos lint bench benchmark mutants lock clean
