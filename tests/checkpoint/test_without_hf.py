"""Without the extra `hf`: headers are planned from, modules are read, and a plan is applied to them."""

from __future__ import annotations

from qprobe.checkpoint.headers import WEIGHTS
from qprobe.documents.files import load_document
from qprobe.documents.plan import Plan
from tests.checkpoints import LLAMA_CONFIG, llama_shapes, write_config, write_safetensors
from tests.test_layering import run_without

HF = ("transformers", "peft", "huggingface_hub", "compressed_tensors", "tokenizers", "accelerate")
"""What the extra brings, by the names that are imported."""

PLAN = """
import sys
from qprobe.cli import main

command = "qprobe plan --model llama --device cpu --measure never"
sys.argv = f"{command} --prompt 16 --generate 4 -o plan.json".split()
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""

MODULE = """
import torch
import qprobe
from tests.plans import decide, plan_for

torch.manual_seed(0)
module = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 16))
x = torch.randn(5, 32)
exact = module.requires_grad_(False)(x)
model = qprobe.read_model(module)
assert [(item.tensor, item.n, item.k) for item in model.linears] == [
    ("0.weight", 64, 32), ("2.weight", 16, 64)
]
qprobe.apply_plan(plan_for(model, decide("W8A8")), module)
assert [layer.scheme for layer in qprobe.receipt_of(module).layers] == ["W8A8", "W8A8"]
assert 0 < float((module(x) - exact).norm() / exact.norm()) < 0.03
"""


def test_a_checkpoint_is_planned_from_its_headers(tmp_path, monkeypatch):
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path / "cache"))
    folder = write_config(tmp_path / "llama", LLAMA_CONFIG)
    write_safetensors(folder / WEIGHTS, llama_shapes(LLAMA_CONFIG))
    run_without(HF, PLAN, tmp_path)
    plan = load_document(Plan, tmp_path / "plan.json")
    assert len(plan.assignments) == 7 * LLAMA_CONFIG["num_hidden_layers"] + 1
    assert plan.targets[plan.primary].predicted.seconds.provenance == "modelled"


def test_a_module_is_read_and_takes_a_plan(tmp_path):
    run_without(HF, MODULE, tmp_path)
