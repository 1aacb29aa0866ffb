# Everything sets up what it needs in .venv; nothing needs root.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# While the live Airflow waits, the other tests work; a file's tests stay together.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder

.PHONY: demo up down test test-full test-floor lint format bench lock clean

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[databricks,google-ads,http2,meta-sdk,postgres,s3,snowflake]' --group dev
	@touch $@

demo: $(STAMP)  ## from a fresh machine to published, audited rows; QUALITY=bad: a day that is stopped
	@$(BIN)/python -m airflow_provider_liftos.cli.demo demo $(if $(QUALITY),--quality $(QUALITY))

up: $(STAMP)  ## the same, left running with the UI on http://127.0.0.1:8080
	@$(BIN)/python -m airflow_provider_liftos.cli.demo up

down: $(STAMP)
	@$(BIN)/python -m airflow_provider_liftos.cli.demo down

test: $(STAMP)  ## everything that guards a change
	$(BIN)/pytest -m "not full" $(PARALLEL)

test-full: $(STAMP)
	$(BIN)/pytest $(PARALLEL)

test-floor: $(STAMP)  ## the oldest supported Airflow, in an environment of its own
	$(BIN)/pytest tests/install -k "oldest"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)  ## everyone on the same server, interleaved; about ten minutes
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --group bench
	$(BIN)/python -m tests.bench

# Without the bound on SQLAlchemy, newer Snowflake providers would take all others back to 2.0.
lock:  ## refresh constraints.txt: names and versions only
	@test -x $(BIN)/uv || ($(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet uv)
	$(BIN)/uv pip compile --quiet --upgrade --no-header --no-annotate --no-emit-index-url \
	  --python-version 3.11 --universal pyproject.toml --group dev --group bench --all-extras \
	  --constraint <(echo 'sqlalchemy>=2.1') \
	  --output-file constraints.txt

clean:
	rm -rf .venv .liftos dist build
