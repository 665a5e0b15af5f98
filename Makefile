# The commands for development and CI. Needs make and Python 3.11 or newer; installs the rest from the lock file.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
# The runtime of the networks: cpu, or cuda on a machine with an NVIDIA GPU (run `make clean` before a change).
RUNTIME ?= cpu

UV_VERSION := 0.13.8
SPECTRAL_VERSION := 6.16.3
UV := .uv/bin/uv
VENV := .venv
BIN := $(VENV)/bin

# The demo takes only a photo from insightface. The packages that it needs besides have no wheels on some platforms.
DEMO_PACKAGES := --group demo --no-install-package onnx --no-install-package scipy --no-install-package scikit-image
# The default runtime would overwrite files of the other one.
ifneq ($(RUNTIME),cpu)
RUNTIME_PACKAGES := --extra $(RUNTIME) --no-install-package onnxruntime --no-install-package onnxruntime-openvino
endif

# Use the model pack and the photos next to the project if they exist; otherwise the default of the setting.
SHARED_PACK := $(wildcard ../shared/models/mobilefacenet)
SHARED_PHOTOS := $(wildcard ../shared/data/lfw-dev/images)
ifneq ($(SHARED_PACK),)
export VULTUS_MODEL_PACK ?= $(SHARED_PACK)
endif
DEMO_FLAGS := $(if $(SHARED_PACK),$(if $(SHARED_PHOTOS),--photos $(SHARED_PHOTOS)))

export UV_PROJECT_ENVIRONMENT := $(VENV)
export ORT_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help run demo serve test test-console console-images test-deploy test-image test-model test-schema test-wheel lint lint-openapi types contracts check \
        docs reference bench-database bench-database-small bench-sequential bench-concurrent \
        bench-concurrent-quick bench-hot-path prove-crashes prove-hostile prove-rekognition bench-accuracy \
        bench-degraded bench-damage bench-overload bench-photo-memory bench-protection bench-subject-search lock \
        clean prove-album-hosts prove-deployment release bench-albums prove-albums \
        bench-clusters bench-video bench-rematch prove-review prove-webhooks prove-refusals bench-console bench-tracing

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-24s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.runtime ## Install, run the demo, then serve on 127.0.0.1:8000 until Ctrl-C
	@$(BIN)/vultus demo $(DEMO_FLAGS) --serve --host $(HOST) --port $(PORT)

demo: $(VENV)/.runtime ## Run only the demo; exits with 1 if a person is not recognized
	@$(BIN)/vultus demo $(DEMO_FLAGS)

serve: $(VENV)/.runtime ## Install and serve, without the demo
	@$(BIN)/vultus serve --host $(HOST) --port $(PORT)

# Tests start many processes. Without cached bytecode, each takes three times as long to start.
test test-model test-schema prove-rekognition: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/.development ## Run all tests (with a real model pack only if one is found)
	$(BIN)/pytest -n 2 --dist worksteal

test-wheel: $(UV) ## Install the wheel with pip into an empty environment and recognize people (2 minutes)
	@UV=$(UV) PYTHON=$(PYTHON) .ci/test-wheel

test-deploy: $(VENV)/.development ## Run only the tests of deploy/ (nginx, Caddy, hadolint, promtool: each if installed)
	$(BIN)/pytest tests/deploy -v

test-image: ## Build the container image without a container engine and run Vultus in it (Linux, root; 4 minutes)
	@.ci/test-image

test-model: $(VENV)/.development ## Run only the tests with a real model pack
	$(BIN)/pytest tests/model -v

test-schema: $(VENV)/.development ## Send the API what its OpenAPI document allows and what not, as every role (2 minutes)
	SCHEMA_SHARE=0.17 SCHEMA_RANDOM=10 $(BIN)/pytest tests/schema -n 2 --dist worksteal

test-console: $(VENV)/.development ## Test the console's pages in Chromium (2 minutes)
	$(BIN)/python -m pytest -n auto tests/console

console-images: $(VENV)/.development ## Write the pictures of the console that the documents show
	CONSOLE_IMAGES=docs/images $(BIN)/python -m pytest tests/console/test_images.py

lint: $(VENV)/.development ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-openapi: $(VENV)/.development ## Check the OpenAPI document with Spectral (needs npm and a network)
	@document=$$(mktemp) && trap 'rm -f "$$document"' EXIT && \
	$(BIN)/python -c 'import json; from app.main import create_app; print(json.dumps(create_app().openapi()))' > "$$document" && \
	npx --yes @stoplight/spectral-cli@$(SPECTRAL_VERSION) lint "$$document" --ruleset .spectral.yaml --fail-severity hint

types: $(VENV)/.development ## Check static types
	$(BIN)/mypy

contracts: $(VENV)/.development ## Check the import contracts
	$(BIN)/lint-imports

check: lint types contracts test ## Run all checks of CI

docs: $(VENV)/.development ## Build the documentation site into site/, strictly
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The site is in site/index.html."

reference: $(VENV)/.runtime ## Write .env.example and what in docs/reference comes from the code
	$(BIN)/vultus settings --format env > .env.example
	$(BIN)/vultus settings --format markdown > docs/reference/settings.md
	$(BIN)/python docs/generate.py

BENCH_DATA ?= data/bench
BENCH_REAL := $(if $(SHARED_PACK),$(if $(SHARED_PHOTOS),--photos $(SHARED_PHOTOS) --pack $(SHARED_PACK)))

bench-database: $(VENV)/.bench ## Benchmark the search with a million templates (hours, 30 GB in data/bench)
	$(BIN)/python -m benchmarks.layer1_database --scale full --data $(BENCH_DATA) $(BENCH_REAL) \
		--out benchmarks/results/layer1_database.json
	$(BIN)/python -m benchmarks.layer1_plots

bench-database-small: $(VENV)/.bench ## The same at a hundredth of the size; prints the result (minutes)
	$(BIN)/python -m benchmarks.layer1_database --scale small $(BENCH_REAL)

bench-sequential: $(VENV)/.bench ## Benchmark single HTTP requests against the reference server (5 minutes)
	$(BIN)/python -m benchmarks.layer2_sequential $(BENCH_REAL) --out benchmarks/results/layer2_sequential.json
	$(BIN)/python -m benchmarks.layer3_plots

bench-concurrent: $(VENV)/.bench ## Benchmark many HTTP clients against the reference server (20 minutes)
	$(BIN)/python -m benchmarks.layer3_concurrent $(BENCH_REAL) --out benchmarks/results/layer3_concurrent.json
	$(BIN)/python -m benchmarks.layer3_plots

bench-concurrent-quick: $(VENV)/.bench ## A small part of the same; prints the result (under 5 minutes)
	$(BIN)/python -m benchmarks.layer3_concurrent --quick $(BENCH_REAL)

bench-hot-path: $(VENV)/.bench ## Measure the processor time of a request by stage (10 minutes)
	$(BIN)/python -m benchmarks.hot_path $(BENCH_REAL) --out benchmarks/results/hot_path.json

bench-overload: $(VENV)/.bench ## Measure one worker under more clients than it can serve (1 minute)
	$(BIN)/python -m benchmarks.overload --out benchmarks/results/overload.json

prove-crashes: $(VENV)/.bench ## Kill the server at 50 random moments and check the data (5 minutes)
	$(BIN)/python -m benchmarks.crash_safety --out benchmarks/results/crash_safety.json

prove-deployment: $(VENV)/.development ## Check deploy/ and the documents, and time a new installation (10 minutes, as root)
	$(BIN)/python -m benchmarks.deployment --installs --image --out

prove-album-hosts: $(VENV)/.bench ## Cut one of two hosts off that process an album (5 minutes; Linux, as root)
	$(BIN)/python -m benchmarks.album_hosts --out benchmarks/results/album_hosts.json

prove-albums: $(VENV)/.bench ## Kill workers and restart PostgreSQL while 2,000 photos are processed (5 minutes)
	$(BIN)/python -m benchmarks.album_kills --out benchmarks/results/album_kills.json

prove-review: $(VENV)/.bench ## Review an album of LFW's photos over the REST API and check every answer (1 minute)
	$(BIN)/python -m benchmarks.album_review --photos $(SHARED_PHOTOS) --pack $(SHARED_PACK) \
		--out benchmarks/results/album_review.json

prove-refusals: $(VENV)/.bench ## Refuse 1,000 times, then rotate, change the recognizer, export and import (5 minutes)
	$(BIN)/python -m benchmarks.refusals --photos $(SHARED_PHOTOS) --pack $(SHARED_PACK) \
		--out benchmarks/results/refusals.json

bench-tracing: $(VENV)/.bench ## Measure what traces cost a recognition (5 minutes)
	$(BIN)/python -m benchmarks.tracing $(BENCH_REAL) --out

bench-console: $(VENV)/.bench ## Measure the console in Chromium: decisions beside 100,000 faces, 2,000 uploads (5 minutes)
	$(BIN)/python -m benchmarks.console.review --out
	$(BIN)/python -m benchmarks.console.upload --out

prove-webhooks: $(VENV)/.bench ## Kill workers while events go to failing and slow receivers; measure their cost (10 minutes)
	$(BIN)/python -m benchmarks.webhooks --out

prove-hostile: $(VENV)/.bench ## Attack a server with foreign ids, forged tokens, damaged photos, floods (10 minutes)
	$(BIN)/python -m benchmarks.hostile --out benchmarks/results/hostile.json

prove-rekognition: $(VENV)/.development ## Send 10,000 random requests of the Rekognition protocol (6 minutes)
	RANDOM_REQUESTS=10000 $(BIN)/pytest -q -s tests/rekognition/test_random_requests.py

bench-accuracy: $(VENV)/.bench ## Measure accuracy and calibration against plain insightface
	$(BIN)/python -m benchmarks.accuracy --photos $(SHARED_PHOTOS) --pairs $(SHARED_PHOTOS)/../pairs.txt \
		--pack $(SHARED_PACK) --data $(BENCH_DATA)/accuracy --out benchmarks/results/accuracy.json
	$(BIN)/python -m benchmarks.eval_reports --photos $(SHARED_PHOTOS) --pairs $(SHARED_PHOTOS)/../pairs.txt \
		--pack $(SHARED_PACK) --out benchmarks/results

bench-degraded: $(VENV)/.bench ## Search for strangers in photos that are altered alike (15 minutes)
	$(BIN)/python -m benchmarks.degraded --photos $(SHARED_PHOTOS) --pack $(SHARED_PACK) \
		--out benchmarks/results/degraded.json

bench-damage: $(VENV)/.bench ## Measure how often damaged JPEGs are refused (2 minutes)
	$(BIN)/python -m benchmarks.damaged_jpegs --photos $(SHARED_PHOTOS) --pack $(SHARED_PACK) \
		--out benchmarks/results/damaged_jpegs.json

bench-photo-memory: $(VENV)/.bench ## Measure the memory of one photo by format (20 minutes)
	$(BIN)/python -m benchmarks.photo_memory --photos $(SHARED_PHOTOS) --pack $(SHARED_PACK) \
		--out benchmarks/results/photo_memory.json

bench-protection: $(VENV)/.bench ## Measure template protection, and a rotation of 10,000 templates
	$(BIN)/python -m benchmarks.template_protection $(BENCH_REAL) --out benchmarks/results/template_protection.json

bench-subject-search: $(VENV)/.bench ## Measure how fast 100,000 subjects are searched, beside other tenants (5 minutes)
	$(BIN)/python -m benchmarks.subject_search --out benchmarks/results/subject_search.json

bench-albums: $(VENV)/.bench ## Measure albums: workers, uploads, waiting, searches, memory (20 minutes)
	$(BIN)/python -m benchmarks.albums $(BENCH_REAL) --out

bench-clusters: $(VENV)/.bench ## Measure clusters of unknown faces beside other methods (15 minutes)
	$(BIN)/python -m benchmarks.clusters --photos $(SHARED_PHOTOS) --pack $(SHARED_PACK) \
		--out benchmarks/results/clusters.json

bench-rematch: $(VENV)/.bench ## Measure how fast a new person is found among a million faces (5 minutes, 7 GB in data/bench)
	$(BIN)/python -m benchmarks.rematch --data $(BENCH_DATA)/rematch --out benchmarks/results/rematch.json

bench-video: $(VENV)/.bench ## Measure videos: who is found and named, times, speed, memory, kills (15 minutes)
	$(BIN)/python -m benchmarks.videos $(BENCH_REAL) --out

release: lint types contracts $(UV) ## Build wheel, source archive, bill of materials and checksums into dist/, and tag
	@UV=$(UV) TAG=$(TAG) .ci/release

lock: $(UV) ## Update the lock file
	$(UV) lock

clean: ## Remove environments and caches, but not ./data
	rm -rf .venv .uv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Vultus needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Creating the tool environment .uv ..."
	@$(PYTHON) -m venv .uv || { echo "python3 -m venv failed; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"

$(VENV)/.runtime: $(UV) uv.lock pyproject.toml
	@echo "Installing Vultus from the lock file (about 700 MB, once) ..."
	$(UV) sync --frozen --inexact $(RUNTIME_PACKAGES) --no-dev $(DEMO_PACKAGES) --python $(PYTHON)
	@touch $@

$(VENV)/.bench: $(VENV)/.development
	$(UV) sync --frozen --inexact $(RUNTIME_PACKAGES) --group bench --python $(PYTHON)
	@touch $@

$(VENV)/.development: $(UV) uv.lock pyproject.toml
	@echo "Installing Vultus and its development tools from the lock file (about 1 GB, once) ..."
	$(UV) sync --frozen --inexact $(RUNTIME_PACKAGES) --python $(PYTHON)
	@touch $@ $(VENV)/.runtime
