# Each target makes .venv when it is absent and is quick when it exists.
PYTHON ?= python3
BIN := .venv/bin
.PHONY: demo test lint docs clean

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	touch $@

demo: .venv/installed
	$(BIN)/python examples/demo.py

test: .venv/installed
	$(BIN)/python -m pytest tests -n 2

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/sizes.py
	$(BIN)/python scripts/rows.py --check
	$(BIN)/python scripts/transcripts.py --check

docs: .venv/installed
	$(BIN)/python scripts/rows.py
	$(BIN)/python scripts/transcripts.py

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache
