# Needs make and Python 3.11 or newer; everything else is installed below build/.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := help

PYTHON ?= python3
ORCHESTRATOR ?= prefect
SEEDS ?= 10000

PACKAGES := cellar_core cellar_airflow cellar_prefect
# Directories too: when a file goes away, only its directory is newer.
SOURCES := pyproject.toml README.md LICENSE \
	$(shell find $(PACKAGES) -name __pycache__ -prune -o -print 2>/dev/null)

# An environment is named for what it has of each orchestrator, or for the stores. The first are pinned by
# constraints/NAME.txt; a plain one is what `pip install 'cellar-flows[…]'` resolves to on the day it is made.
PINNED := airflow prefect stores docs airflow-oldest prefect-oldest stores-oldest both airflow-e2e
PLAIN := plain-airflow plain-prefect plain-both
orchestrators = $(or $(filter $(subst -, ,$1),airflow prefect),$(if $(findstring both,$1),airflow prefect))

extras = $(or $(bare.$1),$(if $(findstring stores,$1),s3 gcs azure servers,$(call orchestrators,$1) demo)) $(extras.$1) dev
bare.docs := s3 docs
extras.airflow := providers
extras.airflow-e2e := celery
# The core is tested where no orchestrator is, on its newest and its oldest dependencies; each adapter where its own is.
tests.stores := tests/core tests/contract tests/simulation --pyargs cellar_core
tests.stores-oldest := tests/core tests/contract --pyargs cellar_core
tests.docs := tests/docs
# Each alone runs the end-to-end tests of its own; here is what they could take from each other.
tests.both := tests/e2e/test_demo.py tests/packaging
tests.airflow-e2e := -rP tests/e2e/airflow_faults.py
tests = $(or $(tests.$1),$(addprefix tests/,$(call orchestrators,$1)) tests/e2e tests/packaging --pyargs $(addprefix cellar_,$(call orchestrators,$1)))
comma := ,
space := $(subst ,, )

UV := build/tools/bin/uv
TOOLS := build/tools/.stamp
WHEEL := build/wheel/.stamp
AZURITE := build/node/.stamp
env = build/envs/$1/.stamp

.PHONY: help
help: ## List what there is to make
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(call env,$(ORCHESTRATOR)) ## Bump a base model and watch its projects being rebuilt (ORCHESTRATOR=prefect|airflow)
	build/envs/$(ORCHESTRATOR)/bin/python -P -m example_flows.demo --orchestrator $(ORCHESTRATOR)

.PHONY: test test-matrix test-plain
test: ## Test on the newest Airflow and the newest Prefect, both at once
	$(MAKE) --jobs=2 --output-sync=line test-airflow test-prefect
test-matrix: test-stores test-docs test-airflow-oldest test-prefect-oldest test-stores-oldest test-both ## Test the core and each object store, the pages, the oldest supported releases, and both orchestrators together
test-plain: $(PLAIN:%=test-%) ## Check that today's unpinned releases install, and that their servers start

# The tests import the installed wheel: pytest puts nothing of the checkout before it on sys.path.
# Where a server is gone, each test would wait for it until its time is over: ten of them tell enough.
.PHONY: $(PINNED:%=test-%) $(PLAIN:%=test-%)
$(PINNED:%=test-%): test-%: build/envs/%/.stamp
	build/envs/$*/bin/pytest --numprocesses=2 --maxfail=10 $(call tests,$*)
$(PLAIN:%=test-%): test-%: build/envs/%/.stamp
	build/envs/$*/bin/pytest tests/packaging

.PHONY: test-ceph
test-ceph: $(call env,stores) ## Test on Ceph too, if Debian's ceph-mon, ceph-osd, radosgw and ceph-common are installed
	build/envs/stores/bin/pytest tests/contract/ceph.py

# Its recipe is above; the line is here for its help.
test-airflow-e2e: ## Kill what there is of real Airflows on SQLite, PostgreSQL and Celery; needs Debian's postgresql and redis-server

.PHONY: test-prefect-e2e
test-prefect-e2e: $(call env,prefect) ## Lose Prefect's server, workers and trainings, also on PostgreSQL; needs Debian's postgresql
	build/envs/prefect/bin/pytest -s tests/e2e/prefect_faults.py

.PHONY: simulate
simulate: $(call env,stores) ## Drive the real protocol through more seeds, one request at a time (SEEDS=10000)
	build/envs/stores/bin/python -P -m tests.simulation --seeds $(SEEDS)

.PHONY: lint
lint: $(call env,airflow) $(call env,prefect) ## Check style, types and the direction of imports
	build/envs/airflow/bin/ruff check
	build/envs/airflow/bin/ruff format --check
	build/envs/airflow/bin/mypy cellar_core cellar_airflow
	build/envs/prefect/bin/mypy cellar_core cellar_prefect
	build/envs/airflow/bin/lint-imports

.PHONY: docs
docs: $(call env,docs) ## Build the pages and the reference into build/site
	NO_MKDOCS_2_WARNING=1 build/envs/docs/bin/mkdocs build --strict
	@echo 'to look at them, and to search: python3 -m http.server --bind 127.0.0.1 --directory build/site'

.PHONY: benchmarks
benchmarks: $(call env,airflow) $(call env,prefect) $(call env,stores) $(AZURITE) ## Measure every figure that the README quotes; needs 50 GB of disk
	build/envs/airflow/bin/python -P benchmarks/imports.py
	build/envs/prefect/bin/python -P benchmarks/imports.py
	build/envs/stores/bin/python -P benchmarks/terminal.py
	$(UV) pip install --quiet --python build/envs/stores obstore
	build/envs/stores/bin/python -P benchmarks/transfer.py --case 1x4GiB
	build/envs/stores/bin/python -P benchmarks/transfer.py --case 2000x100KiB
	build/envs/stores/bin/python -P benchmarks/transfer.py --store s3 --case 1x4GiB --rounds 1
	build/envs/stores/bin/python -P benchmarks/transfer.py --store s3 --case 2000x100KiB
	build/envs/stores/bin/python -P benchmarks/huge.py
	build/envs/stores/bin/python -P benchmarks/listing.py
	build/envs/stores/bin/python -P benchmarks/listing.py --store s3 --versions 100 1000
	for store in local s3 gcs azure; do build/envs/stores/bin/python -P benchmarks/chaos.py --store $$store; done
	build/envs/airflow/bin/python -P benchmarks/airflow.py
	build/envs/prefect/bin/python -P benchmarks/prefect.py

.PHONY: screenshots
screenshots: $(call env,airflow) $(call env,stores) ## Take the pictures of docs/screenshots anew; needs Debian's chromium
	build/envs/stores/bin/pytest tests/core/test_browser.py
	build/envs/airflow/bin/pytest tests/airflow/test_page.py
	$(UV) pip install --quiet --python build/envs/stores 'pillow>=11,<13'
	build/envs/stores/bin/python -P -m tests.screenshots

.PHONY: constraints
constraints: $(PINNED:%=compile-%) ## Compile constraints/ anew from pyproject.toml and today's releases

# A week old at least: some releases are withdrawn on their first days.
.PHONY: $(PINNED:%=compile-%)
$(PINNED:%=compile-%): compile-%: $(TOOLS)
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --no-annotate \
		--exclude-newer '7 days' $(if $(findstring oldest,$*),--resolution lowest-direct) \
		--custom-compile-command 'make constraints' \
		$(addprefix --extra ,$(call extras,$*)) \
		--output-file constraints/$*.txt pyproject.toml

.PHONY: clean
clean: ## Remove everything that was made, the demo's cellar included
	rm -rf build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(TOOLS):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cellar-flows needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv build/tools
	build/tools/bin/pip install --quiet 'uv>=0.9,<1'
	touch $@

$(AZURITE): constraints/node/package.json constraints/node/package-lock.json | $(call env,stores)
	mkdir -p build/node
	cp $^ build/node
	PATH="$(CURDIR)/build/envs/stores/bin:$$PATH" npm ci --prefix build/node --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@
test-stores test-stores-oldest: $(AZURITE)

$(WHEEL): $(SOURCES) | $(TOOLS)
	rm -rf build/wheel
	$(UV) build --quiet --wheel --out-dir build/wheel
	touch $@

# Made afresh when its constraints change, so that nothing of the old set stays behind.
build/envs/%/pyvenv.cfg: $(TOOLS)
	$(UV) venv --quiet --clear --python build/tools/bin/python build/envs/$*
$(foreach name,$(PINNED),$(eval build/envs/$(name)/pyvenv.cfg: constraints/$(name).txt))

# checkout.pth puts the checkout last on sys.path: there is example_flows, which the wheel leaves out.
build/envs/%/.stamp: build/envs/%/pyvenv.cfg $(WHEEL)
	$(UV) pip install --quiet --python build/envs/$* --reinstall-package cellar-flows \
		$(addprefix --constraint ,$(wildcard constraints/$*.txt)) \
		"$$(echo build/wheel/*.whl)[$(subst $(space),$(comma),$(strip $(call extras,$*)))]"
	echo '$(CURDIR)' > "$$(echo build/envs/$*/lib/python3.*/site-packages)/checkout.pth"
	touch $@
