# One command each; every one of them sets up what it needs first.

HOST ?= 127.0.0.1
PORT ?= 8000
WORKERS ?= 1
# How long uvicorn lets a stopping worker go on: longer than CHAT_DRAIN_SECONDS, which ends the replies themselves.
GRACE_SECONDS ?= 60
PY := .venv/bin/python
PYTEST_ARGS ?=

.PHONY: run serve test bench lint format setup setup-dev clean

# glibc keeps what a large reply freed, once a thread: fewer arenas, and big blocks given back to the system.
run serve: export MALLOC_ARENA_MAX = 2
run serve: export MALLOC_MMAP_THRESHOLD_ = 131072
run serve: export MALLOC_TRIM_THRESHOLD_ = 131072

# One process, whatever WORKERS says in the environment. `exec`: a signal to make reaches the server itself.
run: export WORKERS = 1
run: unexport WEB_CONCURRENCY
run: setup
	@$(PY) manage.py migrate --noinput
	@exec $(PY) manage.py rundaphne --host "$(HOST)" --port "$(PORT)"

serve: export WORKERS := $(WORKERS)
serve: setup
	@$(PY) manage.py migrate --noinput
	@$(PY) manage.py collectstatic --noinput --verbosity 0
	@exec .venv/bin/uvicorn chatsite.asgi:application --host "$(HOST)" --port "$(PORT)" --workers "$(WORKERS)" \
	  --loop uvloop --http httptools --ws websockets-sansio --lifespan on --no-access-log \
	  --no-server-header --no-proxy-headers --timeout-graceful-shutdown "$(GRACE_SECONDS)"

# pytest stays the last: its summary closes the run.
test: setup-dev
	@scripts/install-test-tools
	@scripts/test-javascript
	@$(PY) -m pytest $(PYTEST_ARGS)

bench: setup-dev
	@$(PY) -m benchmarks

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
	rm -rf .venv staticfiles .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
