# Everything a newcomer or CI needs; nothing but Python 3.11+ with venv, and make. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
ARGS ?=
# One for each processor: more would end sooner, and make what is timed late.
TEST_PROCESSES ?= auto
export PORT

.DEFAULT_GOAL := help
.PHONY: help run demo test lint format bench chaos mutants matrix browser client build lock clean

help: ## List these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F'\t' '{printf "  make %-9s %s\n", $$1, $$2}'

# One stamp per set of locked requirements: installed again when the lock changes. The lock is complete (--no-deps):
# nothing is resolved here, so no release made after it can change or break an install.
$(VENV)/.installed-%: requirements/%.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $<
	@touch $@

run: $(VENV)/.installed-embedded ## Start everything on 127.0.0.1:8000 (PORT=…), show three tasks, serve until Ctrl-C
	@exec $(BIN)/python manage.py quickstart

demo: $(VENV)/.installed-embedded ## The same on a scratch database and a free port; exit 0 when the tasks succeeded
	@BIN=$(BIN) sh deploy/demo.sh

test: $(VENV)/.installed-test ## Run the test suite (ARGS=tests/unit/… for a part)
	@$(BIN)/python -m pytest $(or $(ARGS),-n $(TEST_PROCESSES) --dist worksteal)

lint: $(VENV)/.installed-dev ## ruff, mypy --strict, import rules; known vulnerabilities where an index can be reached
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python deploy/audit.py

format: $(VENV)/.installed-dev ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-test ## Measure the engine on a PostgreSQL of its own (ARGS=--help lists the options)
	@$(BIN)/python -m tests.bench $(ARGS)

chaos: $(VENV)/.installed-test ## Fault injection on real processes, 15 minutes (FULL=1: hours; ARGS=--help)
	@$(BIN)/python -m pytest -m "$(if $(FULL),chaos_long or chaos_full,chaos_long and not chaos_full)"
	@WHOLE=1 $(BIN)/python -m pytest tests/property tests/unit/schedules
	@$(BIN)/python -m tests.chaos.campaign $(if $(FULL),--full) $(ARGS)

mutants: $(VENV)/.installed-test ## Take each guard away, and see its tests fail (ARGS="--only finish")
	@$(BIN)/python -m tests.mutants $(ARGS)

matrix: $(VENV)/.installed-test ## Engine, API and admin on every Python, Django, PostgreSQL found (ARGS="--only 3.12")
	@$(BIN)/python -m tests.matrix -n $(TEST_PROCESSES) --dist worksteal $(ARGS)

browser: $(VENV)/.installed-browser ## Tests in a real browser (needs chromium)
	@$(BIN)/python -m pytest tests/browser -m browser $(ARGS)

client: $(VENV)/.installed-dev ## Generate a typed client from the OpenAPI document, check it, and try it out
	@$(BIN)/python -m pytest tests/client -m client $(ARGS)

build: $(VENV)/.installed-dev ## Build a wheel into dist/
	$(BIN)/python -m build --wheel

lock: $(VENV)/.installed-dev ## Lock the requirements again, with hashes and without registry addresses
	for set in runtime embedded test dev browser; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-strip-extras --no-header -c requirements/held.in requirements/$$set.in -o requirements/$$set.txt || exit 1; done

clean: ## Remove the environment and build results (not the data in .data)
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache staticfiles
