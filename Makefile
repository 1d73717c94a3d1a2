# Every command of the project. `make` lists them; nothing but python3, make and Java 17 to 25 is needed.
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run up down status test test-slow test-recovery test-realdata check format lock clean clean-all distclean

BIN := .venv/bin
SETUP := python3 scripts/setup.py
# Tests write below the clone too, and the launcher JVM of Spark leaves nothing in /tmp.
TEST_ENV := TMPDIR="$$PWD/.state/test" SPARK_LAUNCHER_OPTS=-XX:-UsePerfData
# A test waits for Spark, Airflow or a subprocess as long as it computes: three files at a time keep two cores busy.
# One after the other, for a debugger: make test ARGS="-n 0 -s tests/cli".
SIDE_BY_SIDE := -n 3 --dist loadfile --no-loadscope-reorder

help: ## list the commands
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make the environment in .venv (run and up do it by themselves)
	@$(SETUP) run

setup-dev: ## the same with what tests and checks need
	@$(SETUP) dev

run: setup ## run the whole pipeline; DATASET=ml-latest-small or a .zip picks the data, CONF="k=20 n_folds=3" the settings
	@$(BIN)/python -m recsys.stack run $(CONF)

up: setup ## start Airflow and MLflow with their pages, and leave them running
	@$(BIN)/python -m recsys.stack up

down: ## stop what up, or an interrupted run, left running
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m recsys.stack down; else echo "Nothing is set up, so nothing runs."; fi

status: setup ## what is running, and where
	@$(BIN)/python -m recsys.stack status

test: setup-dev ## all tests, a run of the whole chain under a real scheduler included
	@mkdir -p .state/test
	@$(TEST_ENV) $(BIN)/python -m pytest -m "not slow and not realdata" $(SIDE_BY_SIDE) $(ARGS)

test-slow: setup-dev ## the tests that take many minutes
	@mkdir -p .state/test
	@$(TEST_ENV) $(BIN)/python -m pytest -m slow --ignore=tests/e2e $(ARGS)

test-recovery: setup-dev ## slow tests of the whole chain: interrupted, repeated, killed, on a full disk, in odd folders
	@mkdir -p .state/test
	@$(TEST_ENV) $(BIN)/python -m pytest -m "slow and not realdata" tests/e2e $(ARGS)

test-realdata: setup-dev ## the tests on the real archives, in RECSYS_REALDATA
	@mkdir -p .state/test
	@$(TEST_ENV) $(BIN)/python -m pytest -m realdata $(ARGS)

check: setup-dev ## format, lint, types, import contracts, DAG files, compose file
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p recsys
	$(BIN)/lint-imports
	$(BIN)/python -m recsys.stack check-dags
	sh scripts/check_compose.sh

format: setup-dev ## format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

LOCK := $(SETUP) uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -q
lock: setup ## resolve the requirements again, with hashes
	$(LOCK) requirements/bootstrap.in -o requirements/bootstrap.txt
	$(LOCK) pyproject.toml -o requirements/run.txt
	$(LOCK) pyproject.toml --group dev -c requirements/run.txt -o requirements/dev.txt
	$(LOCK) --no-deps requirements/referee.in -o requirements/referee.txt
	$(LOCK) pyproject.toml --extra deploy -c requirements/run.txt -o requirements/deploy.txt
	$(LOCK) requirements/mlflow.in -c requirements/deploy.txt -o requirements/mlflow.txt

clean: down ## stop everything and remove all local state (tables, models, runs), RECSYS_STATE_DIR's where it is set
	@python3 scripts/clean.py

clean-all: clean ## clean, and remove the environment too
	rm -rf .venv

distclean: clean-all
