# Two commands: `make demo` and `make test`. Each makes .venv when it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# `make test EXTRAS=dev,postgres,browser` also looks at letters and pages in a real browser.
EXTRAS ?= dev,postgres
# Files of tests side by side; what one file shares between its tests is made once.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile
# What `make test` repeats on PostgreSQL: the rooms in which the two could differ most. `make test-postgres` takes all.
ON_BOTH := $(SIDE_BY_SIDE) tests/delivery tests/service tests/test_schema.py tests/test_database.py
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-postgres format bench soak clean

$(VENV)/installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (once) …"
	@$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/installed-$(EXTRAS): $(VENV)/installed
	@$(PIP_INSTALL) -e '.[$(EXTRAS)]'
	@touch '$@'

demo: $(VENV)/installed  ## watch one issue become seven letters, leave, come back and end as numbers
	@$(BIN)/mailer demo $(ARGS)

test: $(VENV)/installed-$(EXTRAS)  ## format, lint, types, tests on SQLite and on PostgreSQL
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),$(SIDE_BY_SIDE))
	$(if $(ARGS),,$(BIN)/python -m tests.postgres $(ON_BOTH))

test-postgres: $(VENV)/installed-$(EXTRAS)  ## the tests that touch a database, on PostgreSQL
	$(BIN)/python -m tests.postgres $(ARGS)

soak: $(VENV)/installed-$(EXTRAS)  ## kill it by the thousand on both databases; some minutes; writes docs/soak.md
	$(BIN)/python -m tests.kill.soak $(ARGS)

format: $(VENV)/installed-$(EXTRAS)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/installed-$(EXTRAS)  ## figures with their targets beside; some minutes
	$(BIN)/python -m bench $(ARGS)

clean:
	rm -rf $(VENV)
