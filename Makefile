# Everything happens in .venv; a second call finds it ready.
#
#   make play    install what playing needs (and the real engines for G), open the window
#   make test    lint, types and tests
#   make check   lint and types only
#
# torch comes first and by itself: on Linux the index's own build brings the CUDA libraries along. On a machine without a GPU,
# make the environment and put a CPU build of the same version into it before, and it is kept:
#   python3 -m venv .venv && .venv/bin/pip install <a CPU build of torch 2.13.0>

TORCH := torch==2.13.0
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
QUIET := --quiet --progress-bar off
WORLD ?= maze

.PHONY: play test check format clean

play: $(VENV)/.play
	@$(BIN)/zoetrope play $(WORLD)

test: check
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build *.egg-info

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "zoetrope: needs Python 3.11 or newer, and finds none; name one with make PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# A stamp each, made anew when pyproject.toml changes.
$(VENV)/.torch: | $(BIN)/python
	$(PIP) install $(QUIET) "$(TORCH)"
	@touch $@

$(VENV)/.play: pyproject.toml $(VENV)/.torch
	$(PIP) install $(QUIET) -e ".[games]"
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.torch
	$(PIP) install $(QUIET) -e ".[dev]"
	@touch $@ $(VENV)/.play
