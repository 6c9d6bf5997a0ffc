# The only commands a newcomer needs. `make` alone explains them.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The tests start hundreds of interpreters, each of which would compile torch and transformers anew.
unexport PYTHONDONTWRITEBYTECODE
# Most of a file's tests meet in one process, so that what they share is made once. Where a process is lost, its test fails and
# another process does the rest (with `--dist loadfile` pytest-xdist waits for ever).
IN_PARALLEL := --numprocesses logical --maxprocesses 8 --dist worksteal
# Of the order of the tests; the same number gives the same order.
ifndef SEED
SEED := $(shell echo $$(( (RANDOM << 15) + RANDOM )))
endif
IN_ANY_ORDER := -p randomly --randomly-seed $(SEED)
PYTEST_ARGS ?=
RUST := Cargo.toml Cargo.lock rust/py/Cargo.toml $(shell find rust -name '*.rs')
DEMO ?= demo
FUZZ ?= 1
BENCH ?=
# The version of tokenizers to be ready for, and where it is installed.
NEXT_VERSION ?= 1.0.0rc3
NEXT := .cache/tokenizers-next
# training/model/compile, of the package, is tests/training/model/test_compile.py.
test_files = $(foreach each,$(1),tests/$(dir $(each))test_$(notdir $(each)).py)
# What depends on the kernels that PyTorch, oneDNN and the core choose for a processor.
COMPUTING_TESTS := $(call test_files,data/masking/mask_schedule data/tokenization/simd exporting/graph/shared_weights exporting/parity/parity \
  exporting/fill_mask_graph serving/engine/graphs serving/engine/logits serving/tasks/beam_search serving/tasks/scoring \
  training/evaluation/evaluation training/evaluation/pseudo_perplexity training/model/compiled_head \
  training/model/last_layer training/model/masked_head training/model/training_precision training/process/processes \
  training/train training/training_masks training/trainer/against_the_trainer training/trainer/flops \
  training/trainer/replay training/trainer/step_batches training/trainer/trainer)
# The newest transformers, for which Optimum's exporter is too old, and where it is installed, with OpenVINO's plugin.
TRANSFORMERS5_VERSION ?= 5.24.0
TRANSFORMERS5 := .cache/transformers5
TRANSFORMERS5_TESTS ?= $(call test_files,cli/cli_export cli/cli_fill_mask cli/process/frameworks data/blocks/attention data/masking/collator data/masking/collator_subclasses data/masking/collator_workers \
  data/sources/open_sources data/tokenization/python_classes/slow_tokenizer data/tokenization/text_encoder \
  data/tokenization/tokenizer_files data/tokenization/tokenizer_rules data/tokenization/tokenizer_types demo/demo exporting/graph/shared_weights \
  exporting/exporters/exporters exporting/parity/parity exporting/quantization/quantization exporting/architectures exporting/export \
  exporting/fill_mask_graph exporting/patches serving/engine/graphs serving/engine/logits serving/engine/plugins serving/tasks/beam_search \
  serving/fill_mask serving/folder training/evaluation/compare training/evaluation/evaluation training/model/compatibility training/model/head_combinations training/model/last_layer training/model/positions/lengthen \
  training/model/masked_head training/process/processes training/run_mlm/run_mlm training/run_mlm/run_mlm_table \
  training/documents training/model/documents/document_attention training/iterable_datasets training/measured_between_steps training/own_loss training/train training/two_trainings \
  training/trainer/saving/checkpoints training/trainer/device_memory training/trainer/removed_arguments training/trainer/replay \
  training/trainer/saving/resume_changes training/trainer/step_batches training/trainer/trainer)
# With the oldest and the newest versions: these, and the servers, adapters and probes.
VERSIONS_TESTS ?= $(TRANSFORMERS5_TESTS) $(call test_files,serving/http/serve training/adapter_training \
  training/probing/probe)
# These ask with Triton's client, which does not take the newest protobuf.
OLDEST_TESTS ?= $(VERSIONS_TESTS) $(call test_files,serving/http/grpc serving/http/grpc_messages serving/http/telemetry/traces)
# A test file that is renamed must not drop out of a list, or end a run without a test.
MISSING_TESTS := $(filter-out $(wildcard $(COMPUTING_TESTS) $(OLDEST_TESTS)),$(COMPUTING_TESTS) $(OLDEST_TESTS))
$(if $(MISSING_TESTS),$(error The lists of the Makefile name tests that are not there: $(MISSING_TESTS)))
# The last that has models for TensorFlow, and where it is installed with it.
TENSORFLOW := .cache/tensorflow
# The newest client of Hugging Face, for which transformers 4 is too old, and where it is installed.
CLIENTS_VERSION ?= 2
CLIENTS := .cache/clients
# The peer of the sparse encoder, which needs transformers 5, and where it is installed with it and what `export` needs.
SENTENCE_TRANSFORMERS_VERSION ?= 6.2.0
SPARSE_PEER := .cache/sparse-peer
# What runs the targets of fuzz/, installed there by the first `make fuzz`.
CARGO_FUZZ_VERSION := 0.13.2
CARGO_FUZZ := .cache/cargo/bin/cargo-fuzz
# What `make wheels` builds for, and with.
WHEEL_TARGETS ?= x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu
WHEEL_TOOLS := .cache/wheel-tools
WHEEL_PACKAGES := abi3audit==0.0.26 auditwheel==6.8.2 ziglang==0.17.1
# Peers that are no packages of ours: installed there by the first bench; empty leaves them out.
BENCH_PEERS ?= .cache/bench-peers

.PHONY: help setup demo test test-older-processor test-tokenizers-next test-transformers5 test-tf test-gpu test-oldest test-newest test-clients test-sparse test-soak test-page test-equality test-run-mlm test-adapt \
  fuzz lint format docs bench bench-gpu wheel wheels sdist extras licenses lock clean

help: ## Show this help
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

# Two stamps, so that a repeat does nothing: the packages of the lock, and the compiled core.
setup: $(VENV)/.core ## Create .venv with all packages and build the core (needs Python >= 3.11, cargo, make)

$(VENV)/.packages: requirements/dev.txt requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "mlmfast needs Python >= 3.11; '$(PYTHON)' is $$($(PYTHON) --version). Name another: make PYTHON=python3.12" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.core: $(VENV)/.packages $(RUST) pyproject.toml
	@command -v cargo >/dev/null || { echo "mlmfast needs a Rust toolchain: https://rustup.rs" >&2; exit 1; }
	VIRTUAL_ENV=$(VENV) $(BIN)/maturin develop --uv --quiet --release --locked
	@touch $@

demo: setup ## Text -> tokens -> blocks -> model -> ONNX -> filled masks, on text that Python itself carries
	$(BIN)/mlmfast demo --output $(DEMO)

# Those that work with Ray come last, one after the other.
test: setup ## Run all tests, Rust and Python, in an order of chance; SEED=n repeats one
	cargo test --quiet --locked --package mlmfast-core
	@echo "The order of the tests is that of SEED=$(SEED)"
	$(BIN)/python -m pytest -q $(IN_ANY_ORDER) $(IN_PARALLEL) -m 'not ray' $(PYTEST_ARGS)
	$(BIN)/python -m pytest -q $(IN_ANY_ORDER) --numprocesses 1 -m ray $(PYTEST_ARGS)

test-older-processor: setup ## Run the tests that compute, as on a processor that has AVX2 and nothing newer
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MLMFAST_SIMD=avx2 $(BIN)/python -m pytest -q $(IN_PARALLEL) $(COMPUTING_TESTS)

test-tokenizers-next: setup ## Compare tokenize and fill-mask with the coming version of the tokenizers library, in an environment of its own
	test -x $(NEXT)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(NEXT)
	VIRTUAL_ENV=$(NEXT) $(BIN)/uv pip install --quiet tokenizers==$(NEXT_VERSION) click hypothesis numpy onnxruntime pyarrow pytest \
	  pytest-timeout tqdm
	$(BIN)/python tests/tools/write_tokenizers.py $(NEXT)/tokenizers
	$(BIN)/python tests/tools/write_fill_masks.py $(NEXT)/fill-masks
	PYTHONPATH=python MLMFAST_TEST_TOKENIZERS=$(abspath $(NEXT))/tokenizers \
	  MLMFAST_TEST_FILL_MASKS=$(abspath $(NEXT))/fill-masks \
	  $(NEXT)/bin/python -m pytest -q tests/data/tokenization/test_tokenizers_compat.py tests/serving/test_fill_mask_library.py

test-transformers5: setup ## Run the tests of data, training, export and fill-mask with the newest transformers, without Optimum, in an environment of its own
	test -x $(TRANSFORMERS5)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(TRANSFORMERS5)
	echo "torch; sys_platform == 'none'" > $(TRANSFORMERS5)/lent.txt
	VIRTUAL_ENV=$(TRANSFORMERS5) $(BIN)/uv pip install --quiet --override $(TRANSFORMERS5)/lent.txt transformers==$(TRANSFORMERS5_VERSION) \
	  accelerate click 'datasets>=4' hypothesis matplotlib numpy onnx onnxruntime onnxruntime-ep-openvino onnxscript polars pyarrow \
	  pytest pytest-timeout pytest-xdist tqdm
	$(BIN)/python tests/tools/lend_packages.py $(TRANSFORMERS5) torch mlmfast
	PYTHONPATH=python $(TRANSFORMERS5)/bin/python -m pytest -q $(IN_PARALLEL) $(TRANSFORMERS5_TESTS)

test-tf: setup ## Run the tests of the guide's TensorFlow half, in an environment of its own
	test -x $(TENSORFLOW)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(TENSORFLOW)
	VIRTUAL_ENV=$(TENSORFLOW) $(BIN)/uv pip install --quiet 'tensorflow==2.21.*' 'tf-keras==2.21.*' 'transformers>=4.57,<5' \
	  click 'datasets>=4' hypothesis numpy pyarrow pytest pytest-timeout tqdm
	$(BIN)/python tests/tools/lend_packages.py $(TENSORFLOW) mlmfast
	PYTHONPATH=python $(TENSORFLOW)/bin/python -m pytest -q tests/data/loading/test_tensorflow.py

# These build mlmfast themselves: they try what a user's installer does.
test-oldest: ## Run tests with the oldest versions that pyproject.toml allows, in an environment of their own
	bash .ci/versions oldest $(IN_PARALLEL) $(OLDEST_TESTS)

test-newest: ## Run tests with the newest versions, in an environment of their own
	bash .ci/versions newest $(IN_PARALLEL) $(VERSIONS_TESTS)

test-gpu: setup ## Run the tests that need an NVIDIA GPU (3 minutes; MLMFAST_GPU_DRY_RUN=1 runs them on the CPU; not part of test)
	$(BIN)/python -m pytest -v -m gpu --durations 0 $(PYTEST_ARGS) tests/gpu

test-soak: setup ## Ten minutes of hostile and honest clients against a server of the ONNX folder MODEL
	$(BIN)/python tests/tools/soak_server.py $(MODEL)

test-clients: setup ## Ask a server with the newest client of Hugging Face, in an environment of its own
	test -x $(CLIENTS)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(CLIENTS)
	VIRTUAL_ENV=$(CLIENTS) $(BIN)/uv pip install --quiet --upgrade 'huggingface_hub>=$(CLIENTS_VERSION)'
	MLMFAST_TEST_HUB_PYTHON=$(abspath $(CLIENTS))/bin/python $(BIN)/python -m pytest -q tests/serving/http/test_serve_clients.py

test-sparse: setup ## Compare sparse vectors with sentence-transformers, and train with it, in an environment of its own
	test -x $(SPARSE_PEER)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(SPARSE_PEER)
	echo "torch; sys_platform == 'none'" > $(SPARSE_PEER)/lent.txt
	VIRTUAL_ENV=$(SPARSE_PEER) $(BIN)/uv pip install --quiet --override $(SPARSE_PEER)/lent.txt \
	  'sentence-transformers[train]==$(SENTENCE_TRANSFORMERS_VERSION)' 'datasets>=5.2' click onnx onnxruntime pyarrow tqdm
	$(BIN)/python tests/tools/lend_packages.py $(SPARSE_PEER) torch mlmfast
	MLMFAST_TEST_SPARSE_PYTHON=$(abspath $(SPARSE_PEER))/bin/python $(BIN)/python -m pytest -q tests/serving/test_sparse_encoder_peer.py \
	  tests/examples/test_train_splade.py

test-equality: setup ## Compare every id with the tokenizers library on all of ../shared/data (minutes; not part of test)
	$(BIN)/python tests/tools/full_equality.py

test-adapt: setup ## Run the commands of docs/adapt.md on film reviews from PyPI, with a small model of ../shared/data (minutes; not part of test)
	$(BIN)/python tests/tools/walk_adapt.py

test-run-mlm: setup ## Compare the perplexity after an epoch with run_mlm.py's, three seeds (minutes; not part of test)
	$(BIN)/python tests/tools/compare_run_mlm.py

# The runners of continuous integration have Google Chrome, which does as well: there `make test` tries the page.
test-page: setup ## Try the page of `mlmfast serve` in Chromium, after installing it (Debian; elsewhere set MLMFAST_CHROMIUM)
	@command -v chromium chromium-browser google-chrome "$$MLMFAST_CHROMIUM" >/dev/null || \
	  { sudo=$$(test "$$(id -u)" = 0 || echo sudo); $$sudo apt-get update && $$sudo apt-get install -y --no-install-recommends chromium; }
	$(BIN)/python -m pytest -q tests/serving/http/page
	@echo "screenshots: .cache/page"

fuzz: setup $(CARGO_FUZZ) ## Property tests, damaged stores, cargo-fuzz at length; FUZZ=10 takes ten times as long
	PROPTEST_CASES=$$((20000 * $(FUZZ))) cargo test --quiet --locked --package mlmfast-core
	MLMFAST_FUZZ_EXAMPLES=$$((2000 * $(FUZZ))) $(BIN)/python -m pytest -q --timeout 0 -m hypothesis --hypothesis-profile fuzz
	MLMFAST_FUZZ_ROUNDS=$$((3000 * $(FUZZ))) $(BIN)/python -m pytest -q --timeout 0 tests/data/store/test_store_fuzz.py
	@# No sanitizer: the core has no unsafe code, and without one the stable toolchain will do.
	for target in texts tokenizer_file fasta; do \
	  mkdir -p .cache/fuzz-corpus/$$target && \
	  PATH="$(abspath $(CARGO_FUZZ:%/cargo-fuzz=%)):$$PATH" cargo fuzz run --sanitizer none --target-dir .cache/fuzz $$target \
	    .cache/fuzz-corpus/$$target fuzz/seeds/$$target -- -max_total_time=$$((60 * $(FUZZ))) -len_control=0 -max_len=200 -timeout=60 -rss_limit_mb=4096 -verbosity=0 || exit 1; \
	done

$(CARGO_FUZZ):
	cargo install --quiet --locked --root $(CARGO_FUZZ:%/bin/cargo-fuzz=%) cargo-fuzz@$(CARGO_FUZZ_VERSION)

lint: setup ## Formatting, lints, types, direction of imports, stubs
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check -- --config-path .
	PYO3_PYTHON=$(abspath $(BIN)/python) cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
	$(BIN)/python tools/crate_licenses.py --check
	$(BIN)/ruff format --check
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest mlmfast._core
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/lint-imports

format: setup ## Rewrite all code in the project's format
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml -- --config-path .
	$(BIN)/ruff format
	$(BIN)/ruff check --fix --quiet

docs: setup ## Build the documentation as a site in site/, with every link checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

bench: setup ## Measure every claim beside its peer and rewrite benches/RESULTS.md; BENCH=bench_mask for that part alone
	MLMFAST_BENCH_PEERS=$(BENCH_PEERS) $(BIN)/python benches/run.py $(BENCH)

bench-gpu: setup ## Measure on an NVIDIA GPU and rewrite benches/RESULTS-gpu.md (5 minutes; MLMFAST_GPU_DRY_RUN=1 tries it on the CPU)
	$(BIN)/python benches/gpu/run.py

wheel: setup ## Build dist/mlmfast-*.whl and try it in an empty environment
	rm -rf dist
	$(BIN)/maturin build --quiet --release --locked --out dist
	$(BIN)/python tests/tools/wheel_smoke.py dist

# Cross-compiled by zig, which brings the C libraries of old distributions. Another target needs `rustup target add`.
wheels: setup ## Build a release into dist/: wheels for Linux on x86-64 and aarch64 and the sdist, each checked
	test -x $(WHEEL_TOOLS)/bin/python || $(BIN)/uv venv --quiet --python $(BIN)/python $(WHEEL_TOOLS)
	VIRTUAL_ENV=$(WHEEL_TOOLS) $(BIN)/uv pip install --quiet $(WHEEL_PACKAGES)
	rm -rf dist
	for target in $(WHEEL_TARGETS); do \
	  PATH="$(abspath $(WHEEL_TOOLS))/bin:$$PATH" $(BIN)/maturin build --quiet --release --locked --zig --target $$target \
	    --compatibility manylinux2014 --out dist || exit 1; \
	done
	for wheel in dist/*.whl; do $(WHEEL_TOOLS)/bin/auditwheel show $$wheel && $(WHEEL_TOOLS)/bin/abi3audit --strict $$wheel || exit 1; done
	$(MAKE) sdist
	$(BIN)/python tests/tools/check_dist.py dist

sdist: setup ## Build the sdist into dist/, and from it a wheel without a network, and try that
	rm -f dist/*.tar.gz
	$(BIN)/maturin sdist --out dist
	$(BIN)/python tests/tools/sdist_smoke.py dist

extras: wheel ## Measure what each extra brings, in megabytes and seconds (downloads everything anew; not part of test)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tools/measure_extras.py dist/mlmfast-*.whl

licenses: setup ## Write rust/LICENSES.txt anew, after Cargo.lock has changed
	$(BIN)/python tools/crate_licenses.py

lock: setup ## Compile requirements/*.txt anew from pyproject.toml: newest versions, hashes, no index named
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate --extra dev --extra bench --extra docs --output-file requirements/dev.txt pyproject.toml
	echo uv | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate --output-file requirements/bootstrap.txt -

clean: ## Remove everything that was built
	rm -rf $(VENV) target dist site python/mlmfast/_core*.so
