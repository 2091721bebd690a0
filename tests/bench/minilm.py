"""Measures the main job on MiniLM and writes it to reports/: `python -m tests.bench.minilm`.

Two requests, each planned and verified; the same models under torch.compile beside them; what the
command line, a layer and the memory cost. Takes some five minutes; nothing else should run meanwhile.
"""

from __future__ import annotations

import copy
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

from qprobe.apply import apply_plan
from qprobe.checkpoint.casting import cast_module
from qprobe.checkpoint.loading import load_module
from qprobe.documents.files import load_document, write_text
from qprobe.documents.plan import KernelRange, Plan
from qprobe.documents.receipt import Receipt
from qprobe.documents.scheme import SCHEMES
from qprobe.kernels._kernel import Kernel, LayerSpec
from qprobe.kernels.activations import quantize_tokens
from qprobe.kernels.registry import choose_algorithm, kernels_for
from qprobe.layers import make_layer
from qprobe.layers._linear import PlannedLinear
from qprobe.timing.interleave import Task, time_interleaved
from qprobe.timing.samples import ratio_of
from tests.bench.minilm_page import write_page
from tests.checkpoints import minilm

ROOT = Path(__file__).parent.parent.parent
REQUESTS = ((32, 128), (1, 128))
MEMORY = """
import ctypes, gc, json, sys, torch, qprobe
from qprobe.checkpoint.loading import load_module

def held():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return 1024 * (int(lines["RssAnon"].split()[0]) + int(lines["RssFile"].split()[0]))

plan = qprobe.load_plan(sys.argv[2])
ids = torch.randint(0, 30000, (plan.objective.batch, plan.objective.prompt))

def deploy():
    model = qprobe.apply_plan(plan, load_module(sys.argv[1]))
    with torch.no_grad():
        for _ in range(3):
            model(ids)
    return model

deploy()  # What the libraries load at their first use is not the model's.
gc.collect()
ctypes.CDLL(None).malloc_trim(0)
before = held()
model = deploy()
gc.collect()
print(json.dumps(held() - before))
"""


def main() -> None:
    """Measure and write the report; refuses a tree with uncommitted changes to the package."""
    report: dict[str, object] = {"created_utc": datetime.now(UTC).isoformat(timespec="seconds")}
    report |= describe_commit()
    with tempfile.TemporaryDirectory() as folder:
        report["commands"] = {
            "help_s": time_command("--help"),
            "doctor_s": time_command("doctor", runs=3),
        }
        report["layer_overhead"] = measure_overhead()
        report["requests"] = [measure_request(Path(folder), *request) for request in REQUESTS]
        plan = load_document(Plan, Path(folder) / "plan-32.json")
    device = plan.targets[plan.primary].fingerprint
    report["device"] = device.model_dump(mode="json")
    target = ROOT / "reports" / device.slug
    target.mkdir(parents=True, exist_ok=True)
    name = f"{datetime.now(UTC):%Y-%m-%d}-{report['commit']}-minilm"
    write_text(json.dumps(report, indent=1) + "\n", target / f"{name}.json")
    write_text(write_page(report), target / f"{name}.md")
    print(write_page(report))


def describe_commit() -> dict[str, object]:
    """The commit that is measured, and whether the tree differs from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    return {
        "commit": git("rev-parse", "--short=10", "HEAD"),
        "dirty": bool(git("status", "--porcelain", "--", "qprobe", "kernels")),
    }


def run_qprobe(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The real command line of this checkout."""
    return subprocess.run(
        [sys.executable, "-m", "qprobe", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def time_command(*arguments: str, runs: int = 7) -> dict[str, float]:
    """Wall seconds of the whole process."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        run_qprobe(*arguments)
        seconds.append(time.perf_counter() - start)
    return {"median": statistics.median(seconds), "max": max(seconds), "runs": runs}


def measure_overhead() -> list[dict[str, object]]:
    """What a layer costs over its bare kernel at M = 1, in turn, for every kernel that runs here."""
    found: list[dict[str, object]] = []
    for kernel in kernels_for("cpu"):
        for name in sorted(
            kernel.schemes - {"NONE"} if kernel.id == "reference" else kernel.schemes
        ):
            scheme = SCHEMES[name]
            ranges = (KernelRange(kernel=kernel.id, m_min=1, m_max=None),)
            linear = nn.Linear(384, 384).requires_grad_(False).eval()
            algorithm = choose_algorithm(scheme, kernel)
            code = scheme.algorithms[algorithm]
            if kernel.objection(LayerSpec(name, 384, 384, torch.float32, code, "cpu")):
                continue
            layer = make_layer(linear, scheme, algorithm, ranges, torch.float32)
            if isinstance(layer, PlannedLinear):
                found.append({"scheme": name, "kernel": kernel.id} | _overhead(layer, kernel))
    return found


def _overhead(layer: PlannedLinear, kernel: Kernel) -> dict[str, float]:
    xs = [torch.randn(1, layer.in_features) for _ in range(2)]

    def bare(counter: int) -> None:
        x, scale = xs[counter % 2], None
        if kernel.input != "float":
            x, scale = quantize_tokens(x, kernel.input)
        kernel.run(x, scale, layer._packed, layer.bias, torch.float32)

    tasks = {"layer": Task(lambda i: layer(xs[i % 2])), "bare": Task(bare)}
    with torch.no_grad():
        timed = time_interleaved(
            tasks, budget_s=1.0, min_samples=101, max_samples=1001, prune=False
        )
    layer_s, bare_s = timed["layer"].median, timed["bare"].median
    return {"layer_s": layer_s, "bare_s": bare_s, "overhead_s": layer_s - bare_s}


def measure_request(folder: Path, batch: int, prompt: int) -> dict[str, object]:
    """Plan, verify, and time the same models under torch.compile beside the eager ones."""
    model, plan_file = str(minilm()), folder / f"plan-{batch}.json"
    receipt_file = folder / f"receipt-{batch}.json"
    request = ("--batch", str(batch), "--prompt", str(prompt))
    for arguments in (
        ("plan", "--model", model, *request, "-o", str(plan_file)),
        ("verify", "--model", model, "--plan", str(plan_file), "-o", str(receipt_file)),
    ):
        done = run_qprobe(*arguments)
        if done.returncode:
            sys.exit(f"{arguments[0]} ended with {done.returncode}: {done.stdout} {done.stderr}")
    plan, receipt = load_document(Plan, plan_file), load_document(Receipt, receipt_file)
    memory = subprocess.run(
        [sys.executable, "-c", MEMORY, model, str(plan_file)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    section = plan.targets[plan.primary]
    return {
        "batch": batch,
        "prompt": prompt,
        "summary": section.summary,
        "receipt": receipt.model_dump(mode="json", exclude={"layers"}),
        "memory_predicted_bytes": section.predicted.memory_bytes.value,
        "memory_measured_bytes": int(memory.stdout),
        "compiled": time_compiled(plan, batch, prompt),
    }


def time_compiled(plan: Plan, batch: int, prompt: int) -> list[dict[str, object]]:
    """Eager and compiled, as stored, cast and planned, all in turn; ratios are over the eager plan."""
    stored = load_module(minilm())
    models: dict[str, nn.Module] = {
        "plan": apply_plan(plan, copy.deepcopy(stored)),
        "NONE": stored,
        "BF16": cast_module(copy.deepcopy(stored), torch.bfloat16),
    }
    ids = torch.randint(0, 30000, (batch, prompt))
    runs: dict[str, Callable[[int], object]] = {}
    for name, model in models.items():
        # Made into a graph once; what a caller passes besides is the mask that is all ones.
        compiled = torch.compile(model)
        runs[name] = lambda _, model=model: model(ids)
        runs[f"{name}, compiled"] = lambda _, model=compiled: model(ids)
    with torch.no_grad():
        timed = time_interleaved(
            {name: Task(run) for name, run in runs.items()}, budget_s=15.0, min_samples=9
        )
    rows: list[dict[str, object]] = []
    for name, samples in timed.items():
        ratio = ratio_of(samples, timed["plan"])
        rows.append(
            {
                "name": name,
                "median_s": samples.median,
                "p20_s": samples.quantile(0.2),
                "p80_s": samples.quantile(0.8),
                "samples": len(samples.seconds),
                "ratio": ratio.median,
                "ratio_low": ratio.low,
                "ratio_high": ratio.high,
            }
        )
    return rows


if __name__ == "__main__":
    main()
