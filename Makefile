# Needs make, sh and a Python 3.11 to 3.13; everything else is installed into .venv.

PYTHONS = python3.11 python3.12 python3.13 python3 python
FITS = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON := $(shell for p in $(PYTHONS); do $$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
INSTALLED = .venv/installed
RUN = .venv/bin/python -m
WORKERS = 2
FUZZ_S = 60

.PHONY: demo install test check bench fuzz clean

demo: $(INSTALLED) ## the whole way on this machine, with real brokers
	@.venv/bin/haltere demo $(ARGS)

install: $(INSTALLED) ## .venv with haltere in it, and nothing else

test: check ## everything
	@$(RUN) pytest -q -n $(WORKERS) --dist loadfile $(ARGS)

check: $(INSTALLED) ## what needs no broker: format, lint, types, architecture
	@$(RUN) ruff format --check --quiet .
	@$(RUN) ruff check --quiet .
	@$(RUN) mypy
	@$(RUN) pytest -q tests/test_architecture.py

bench: $(INSTALLED) ## messages a second, and how long they take
	@$(RUN) tests.bench.bridge $(ARGS)

fuzz: $(INSTALLED) ## a million changed messages, then coverage-guided ones where atheris can be had
	@$(RUN) tests.fuzz.mutate $(ARGS)
	@if $(RUN) pip install --quiet --disable-pip-version-check -c constraints.txt atheris; then \
		$(RUN) tests.fuzz.guided -max_total_time=$(FUZZ_S) -verbosity=0 -print_final_stats=1; \
	else echo "no atheris for this machine: the coverage-guided part is left out" >&2; fi

clean: ## remove .venv and the caches
	@$(or $(PYTHON),python3) -c "import shutil; [shutil.rmtree(f, True) for f in '.venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .haltere build haltere.egg-info'.split()]"

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "haltere needs Python 3.11, 3.12 or 3.13 on PATH: none of $(PYTHONS) is one" >&2; exit 1; }
	@echo "making .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv || { echo "its venv module does not work; Debian has it in python3-venv" >&2; exit 1; }
	@echo "installing TensorFlow and friends, about 2 minutes the first time"
	@$(RUN) pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ml,embedded,dev]'
	@.venv/bin/python -c "open('$(INSTALLED)', 'w').close()"
