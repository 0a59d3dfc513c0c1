# Netally. `make help` lists the targets.
SHELL := /bin/bash
# The first Python that is new enough; `make PYTHON=/path/to/python3 …` names another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
  command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
UV_VERSION := 0.13.9
MEMBERS := contracts bus store telemetry capture aggregator api web cli
PREFIX ?= /opt/netally
UNITS ?= /etc/systemd/system
# For a host that only sends to a hub: make install PARTS="netally-cli netally-capture"
PARTS ?= netally-cli netally-capture netally-aggregator[parquet] netally-api netally-web
MEMBER_DIRS := $(wildcard libs/*) $(wildcard services/*)
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
BIN := .venv/bin
BPF := services/capture/src/netally/capture/ebpf
BPF_FLAGS := -target bpfel -O2 -Wall -Wextra -Werror -I/usr/include/$(shell uname -m)-linux-gnu

.DEFAULT_GOAL := help
.PHONY: help setup setup-test run demo test lint fmt types audit bench bpf extension docs fuzz screenshots lab soak accuracy lock clean wheels install

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.uv/bin/uv:
	@test -n "$(PYTHON)" || { echo "Netally needs Python 3.11 or newer; install it, or run make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
	@echo "Installing uv $(UV_VERSION) into .uv"
	@$(PYTHON) -m venv .uv || { echo "Python's venv module does not work; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"

# umask: as root the database server is another user and has to read its own program, whatever the shell's umask.
# One stamp a lock file: a changed lock or member manifest installs again, an unchanged one costs nothing.
.venv/.run: requirements.lock $(wildcard libs/*/pyproject.toml services/*/pyproject.toml) | $(UV)
	@$(BIN)/python -c '' 2>/dev/null || { umask 022; $(UV) venv --quiet --clear --python $(PYTHON) .venv; }
	@echo "Installing what requirements.lock names into .venv"
	@umask 022; $(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@umask 022; $(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(addprefix -e ./,$(MEMBER_DIRS))
	@touch $@

.venv/.test: requirements-test.lock .venv/.run | $(UV)
	@echo "Installing what requirements-test.lock names into .venv"
	@umask 022; $(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements-test.lock
	@touch $@

setup: .venv/.run ## Install what `make run` needs into .venv

setup-test: .venv/.test ## Install what the tests need as well

run: .venv/.run ## Start everything on this machine and print a URL
	@exec $(BIN)/netally up

demo: .venv/.run ## Start a separate instance in build/demo, filled with simulated hosts and a year of history
	@exec $(BIN)/netally demo

test: .venv/.test ## Check style and types, then run every test on real services
	@tests/run

lint: .venv/.test ## Check style, import rules and generated documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/cog --check docs/reference.md
	$(BIN)/python docs/asyncapi_document.py --check

fmt: .venv/.test ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

audit: .venv/.test ## Look for known vulnerabilities in what is installed
	@$(BIN)/python -m tests.audit

types: .venv/.test ## Check types
	$(BIN)/mypy libs services tests

bench: .venv/.test ## Measure throughput, cost and query times; JSON lines go to $BENCH_OUT
	@$(BIN)/python -m tests.bench

bpf: ## Compile the programs of mode ebpf (Debian's clang-14) into the objects that are shipped
	@for name in sockets interfaces; do \
	  clang-14 $(BPF_FLAGS) -c $(BPF)/$$name.bpf.c -o $(BPF)/$$name.bpf.o; done

extension: ## Pack the browser extension for Firefox and for Chromium into extension/dist
	@$(PYTHON) extension/pack.py extension/dist

docs: .venv/.test ## Write docs/reference.md and the AsyncAPI document anew from the code
	$(BIN)/cog -r docs/reference.md
	$(BIN)/python docs/asyncapi_document.py

fuzz: .venv/.test ## Fuzz the parsers for ten minutes
	@$(BIN)/python -m tests.fuzz.run --seconds 600

screenshots: .venv/.test ## Take the pictures of docs/tour.md from a running `make demo`
	@$(BIN)/python docs/tour_screenshots.py

lab: .venv/.test ## Every capture mode against known traffic, as root; writes its part of docs/accuracy.md
	@$(BIN)/python -m tests.lab

soak: .venv/.test ## An agent under steady traffic for an hour (SOAK_SECONDS), as root: fails when it is not flat
	@$(BIN)/python -m tests.lab.soak

accuracy: .venv/.test ## Score replay against known captures; writes docs/accuracy.md
	@$(BIN)/python -m tests.accuracy

lock: | $(UV) ## Write both lock files anew from the manifests
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  $(foreach m,$(MEMBERS),--no-emit-package netally-$(m)) pyproject.toml -o requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  $(foreach m,$(MEMBERS),--no-emit-package netally-$(m)) pyproject.toml --group test -c requirements.lock -o requirements-test.lock

wheels: | $(UV) ## Build our wheels into dist/
	@rm -rf dist && $(UV) build --quiet --all-packages --wheel --out-dir dist --build-constraint requirements.lock

install: wheels ## Install or upgrade into PREFIX (/opt/netally) from the wheels; systemd's units go into UNITS
	@umask 022; $(UV) venv --quiet --allow-existing --python $(PYTHON) $(PREFIX)
	@umask 022; $(UV) pip install --quiet --compile-bytecode --python $(PREFIX)/bin/python --constraint requirements.lock --find-links dist \
	  $(foreach m,$(MEMBERS),--reinstall-package netally-$(m)) $(PARTS)
	@install -D -m 0644 docs/install.md $(PREFIX)/share/doc/netally/install.md
	@! test -d $(UNITS) || install -m 0644 deploy/systemd/*.service $(UNITS)
	@echo "Installed into $(PREFIX); docs/install.md says what comes next"

clean: ## Remove the environment and caches (no data)
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
