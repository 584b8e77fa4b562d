# One command each; every one of them sets up what it needs first.

HOST ?= 127.0.0.1
PORT ?= 8000
WORKERS ?= 1
PY := .venv/bin/python
PYTEST_ARGS ?=
# Tests at once, each module in one process: more than there are cores, since most of them wait for something.
PYTEST_PROCESSES ?= 4

.PHONY: run serve test bench lint format setup setup-dev clean

# As in scripts/serve, which says why.
run: export MALLOC_ARENA_MAX = 2
run: export MALLOC_MMAP_THRESHOLD_ = 131072
run: export MALLOC_TRIM_THRESHOLD_ = 131072

# One process, whatever WORKERS says in the environment. `exec`: a signal to make reaches the server itself.
run: export WORKERS = 1
run: export WEB_CONCURRENCY = 1
run: setup
	@$(PY) manage.py migrate --noinput
	@exec $(PY) manage.py rundaphne --host "$(HOST)" --port "$(PORT)"

serve: export HOST := $(HOST)
serve: export PORT := $(PORT)
serve: export WORKERS := $(WORKERS)
serve: setup
	@$(PY) manage.py migrate --noinput
	@$(PY) manage.py collectstatic --noinput --verbosity 0
	@echo "Serving on http://$(HOST):$(PORT)/ (stop with Ctrl-C)"
	@exec scripts/serve

# pytest stays the last: its summary closes the run. With CHAT_TEST_DATABASE_URL=postgres://… every test's database is
# on that server; without, PostgreSQL is for those that tests/test_*on_postgresql.py name, where it answers.
#
# Hundreds of processes start in a run: what is compiled once, by whichever comes first, is not compiled again.
test: export PYTHONDONTWRITEBYTECODE :=
test: setup-dev
	@scripts/install-test-tools
	@scripts/test-javascript
	@$(PY) -m pytest -n $(PYTEST_PROCESSES) --dist loadscope --no-loadscope-reorder $(PYTEST_ARGS)

# BENCH_CASES="paced tls", or all; benchmarks/cases.py has them.
bench: setup-dev
	@$(PY) -m benchmarks $(BENCH_CASES)

lint: setup-dev
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

format: setup-dev
	@.venv/bin/ruff check --fix .
	@.venv/bin/ruff format .

setup:
	@scripts/setup requirements.txt

setup-dev:
	@scripts/setup requirements.txt requirements-dev.txt

clean:
	rm -rf .venv staticfiles .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis .import_linter_cache
