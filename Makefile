# Everything lives in .venv. `install` is skipped while its stamp is newer than what it depends on, so only
# the first run of any target takes minutes.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help install rabbitmq demo test check latency memory prove-brokers prove-lanes prove-rescan prove-quality prove-swap prove-hostile prove-fuzz prove-chaos prove-soak bench prove-scaling audit hooks clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RABBITMQ := $(VENV)/.rabbitmq
AUDIT := $(VENV)/audit
# Candidates in order; the first that is 3.11 to 3.13 makes the environment. Override: make PYTHON=python3.12 install
PYTHON := python3 python3.13 python3.12 python3.11

help: ## Show this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22

install: $(STAMP) $(RABBITMQ) ## Make .venv with everything that liverisk, its tests and its checks need (3 GB)

demo: install ## Watch the bundled livestream with everything embedded and print the verdicts
	@$(BIN)/liverisk demo

# Two processes, a file at a time: most of the time is spent waiting for servers, engines and timeouts.
test: install ## Run every test; what needs a server starts a real one
	@$(BIN)/pytest -q -n 2 --dist loadscope --durations 25

check: install ## Lint, format, types, import directions, settings, policies and model cards
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/liverisk config check | tail -n 1

bench: install ## Measure the pool beside a bare process, plain Celery and Ray; BENCH holds options (25 minutes)
	@$(BIN)/liverisk bench $(BENCH)

latency: install ## Measure segment end to record of a live-paced stream
	@$(BIN)/python -m tests.benchmarks.live_latency

memory: install ## Show what each process of a pool of two workers and one engine holds in memory
	@$(BIN)/python -m tests.benchmarks.resident_memory

prove-lanes: install ## Show what a bulk rescan costs live segments: latency beside it and without (half an hour)
	@$(BIN)/python -m tests.benchmarks.prove_lanes

prove-rescan: install ## Show what rescans cost, stop, survive and change (an hour)
	@$(BIN)/python -m tests.benchmarks.prove_rescan

prove-quality: install ## Show what the verdicts are worth: chat, fusion, public data, calibration (an hour)
	@$(BIN)/python -m tests.benchmarks.prove_quality

prove-swap: install ## Show what swapping checkpoints under load costs, refuses and survives (half an hour)
	@$(BIN)/python -m tests.benchmarks.prove_swap

prove-brokers: install ## Run all tests of the whole pool on Valkey and then on RabbitMQ (a quarter of an hour)
	@for broker in valkey rabbitmq; do echo "== $$broker"; \
		LIVERISK_TEST_BROKER=$$broker $(BIN)/pytest -q -p no:randomly --timeout 900 \
		tests/e2e/test_pool.py tests/e2e/test_crashes.py tests/e2e/test_connections.py tests/e2e/test_sampling.py; done

rabbitmq: ## Unpack RabbitMQ for the tests into .venv, if apt has it; `install` does it once
	@rm -f $(RABBITMQ) && $(MAKE) --no-print-directory $(RABBITMQ)

prove-hostile: install ## Show what hostile media get, how long they take and what of memory (two minutes)
	@$(BIN)/python -m tests.benchmarks.prove_hostile

prove-fuzz: install ## Throw hostile inputs at all that reads what others wrote; FUZZ holds options (three quarters of an hour)
	@$(BIN)/python -m tests.benchmarks.prove_fuzz $(FUZZ)

prove-chaos: install ## Break a pool under load and count what became of every segment; CHAOS holds options (half an hour)
	@$(BIN)/python -m tests.benchmarks.prove_chaos $(CHAOS)

prove-soak: install ## Show that a pool under steady load stays as it is; SOAK holds more options (an hour)
	@$(BIN)/python -m tests.benchmarks.prove_soak $(SOAK)

prove-scaling: install ## Show whether the simulation of docs/scaling.md tells what a real pool does (ten minutes)
	@$(BIN)/python -m tests.benchmarks.prove_scaling

audit: install $(AUDIT)/.installed ## Licences, known vulnerabilities and an SBOM of what is installed; asks PyPI
	@$(BIN)/python -m tests.supply_chain --tools $(AUDIT)/bin

hooks: install ## Run the quick checks before every commit
	@$(BIN)/pre-commit install

clean: ## Remove .venv, build output and caches; .liverisk, where streams and verdicts lie, stays
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find pipelines workers tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Constraints hold torch's version for every package that wants one; pip takes a CPU build of it where it is offered.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing into $(VENV): some minutes the first time"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[embedded,training,dev]"
	@touch $@

# Apart from .venv's packages, so that the tools are no part of what they report.
$(AUDIT)/.installed: pyproject.toml constraints.txt | $(STAMP)
	@$(BIN)/python -m venv --clear $(AUDIT)
	@$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $$($(BIN)/python -c \
		"import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['audit'])")
	@touch $@

$(RABBITMQ): tests/install_rabbitmq.sh | $(STAMP)
	@tests/install_rabbitmq.sh $(VENV)/rabbitmq
	@touch $@

$(BIN)/pip:
	@for python in $(PYTHON) ""; do \
		"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && break; \
	done; \
	[ -n "$$python" ] || { echo "make: no Python 3.11 to 3.13 found; name one: make PYTHON=python3.12" >&2; exit 1; }; \
	"$$python" -c 'import ensurepip' 2>/dev/null || \
		{ echo "make: $$python cannot make environments; on Debian: apt-get install python3-venv" >&2; exit 1; }; \
	"$$python" -m venv --clear $(VENV)
