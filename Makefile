.PHONY: setup check docs pins
setup:  ## everything that work on the code needs, in .venv
	python3 -m pip install uv
	uv sync

check:  ## everything that must hold before a change lands
	uv run ruff format --check
	uv run ruff check
	uv run ty check
	uv run pytest -n auto

docs:  ## examples in docstrings run, and what documents point to is there
	uv run pytest src tests/test_docs.py

pins:  ## newest versions of every dependency that fit together
	python3 tools/pin.py
