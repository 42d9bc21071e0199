# Two commands matter: `make run` and `make test`. Both do all set-up themselves.
# The system's own first: distributions build Python with profile-guided optimisation, version managers mostly do not.
PYTHON ?= $(shell for one in /usr/bin/python3.11 python3.11 python3; do \
	"$$one" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$one" && break; done)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

LOCKED := --python-version 3.11 --universal --generate-hashes --no-emit-index-url --no-header

.PHONY: setup run test lint bench faults weights lock clean

setup: $(STAMP)

# Installed from the lock, hashes required; the project itself is installed in place.
$(STAMP): requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Fingerpost needs Python 3.11 or later. Name one with: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

run: setup
	$(BIN)/fingerpost run --sandbox

test: lint
	$(BIN)/python -m pytest tests --numprocesses 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Longer runs, not part of `make test`.
faults: setup
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest tests -m faults -s --timeout 7200

bench: setup
	$(BIN)/python -m tests.bench

# Fits the weights that ship with the matcher, from data that anybody can fetch: what a likeness tells depends on how many accounts there
# are, so from worlds of two sizes, both large: with fewer accounts a match is then surer than it says.
# The same data and code give the same file.
WEIGHTS := routing/core/matching/weights.json
LABELS := $(VENV)/labels
weights: setup
	for size in 400000 1050000; do FINGERPOST_COMPANIES=none $(BIN)/python -m tests.bench.matching --accounts $$size --leads 10000 \
		--labels $(LABELS)-$$size.jsonl || exit 1; done
	cat $(LABELS)-400000.jsonl $(LABELS)-1050000.jsonl > $(LABELS).jsonl
	$(BIN)/fingerpost match tune --labels $(LABELS).jsonl --from tests/bench/matching_prior.json --out $(WEIGHTS)

# Renews the locks from pyproject.toml: the newest versions that fit, with hashes, no host names. The image's is a part of the other.
lock: setup
	$(BIN)/uv pip compile --quiet --upgrade $(LOCKED) --extra dev pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet $(LOCKED) --constraint requirements.lock --extra image pyproject.toml -o deploy/requirements.lock

clean:
	rm -rf $(VENV) .fingerpost build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
