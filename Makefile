# jupyter-jsc: `make demo` runs the whole system here, `make test` tests it, `make check` is the fast gate.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test test-kubernetes check format docs images bench lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/demo node_modules/.installed ## run everything on this machine, with a demo world
	@$(BIN)/jupyter-jsc demo

test: .venv/dev node_modules/.installed ## run all tests; what a machine lacks is skipped with one line
	@$(BIN)/pytest

test-kubernetes: .venv/dev node_modules/.installed ## test labs on the cluster in KUBECONFIG, or on a real one made here
	@$(BIN)/python -m tools.kubernetes test

check: .venv/dev ## the fast gate: format, lint, types, imports, sizes, links
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python tools/check_sizes.py
	@$(BIN)/python tools/check_links.py

format: .venv/dev ## let ruff format and fix the code
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

docs: .venv/dev ## write the configuration's reference page and schema anew, and the chart's values
	@$(BIN)/python -m jupyter_jsc.config.reference examples/config docs/reference
	@$(BIN)/python -m tools.charts.write charts

images: .venv/demo ## gather in build/images what each image is built from; building then needs no package index
	@$(BIN)/python images/context.py build/images

bench: .venv/dev node_modules/.installed ## measure against the stock peers, print tables, write bench/results/
	@$(BIN)/python -m bench

lock: .venv/dev ## pin the newest versions that pyproject.toml and package.json allow
	@$(BIN)/pip install --quiet uv
	@for extra in demo dev; do $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --extra $$extra \
	  pyproject.toml --output-file requirements/$$extra.txt; done
	@for image in k8smgr:kubernetes lab:lab; do $(BIN)/uv pip compile --quiet --python-platform linux \
	  --python-version 3.11.2 --generate-hashes --no-emit-index-url --no-annotate --no-header --constraint requirements/demo.txt \
	  --extra $${image#*:} pyproject.toml --output-file requirements/$${image%:*}.txt; done
	@echo pip | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header - --output-file requirements/pip.txt
	@npm update --package-lock-only --omit-lockfile-registry-resolved

clean: ## remove what the set-up and the demo made
	@rm -rf .venv node_modules .demo

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "jupyter-jsc needs Python 3.11 or newer")'
	@$(PYTHON) -m venv .venv

.venv/demo: requirements/demo.txt pyproject.toml | .venv/bin/python
	@echo "installing jupyter-jsc and its demo into .venv (once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/demo.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: requirements/dev.txt .venv/demo
	@echo "installing the tools for tests into .venv (once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	@touch $@

node_modules/.installed: package-lock.json
	@echo "installing the proxy into node_modules (once)"
	@npm ci --silent --no-fund --no-audit --ignore-scripts
	@touch $@
