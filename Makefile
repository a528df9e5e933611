.PHONY: check pins
check:  ## everything that must hold before a change lands
	uv run ruff format --check
	uv run ruff check
	uv run ty check
	uv run pytest

pins:  ## newest versions of every dependency that fit together
	python3 tools/pin.py
