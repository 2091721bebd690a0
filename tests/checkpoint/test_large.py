"""A plan for a checkpoint of any size takes its headers only: seconds, memory and a small file."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from qprobe.checkpoint.headers import WEIGHTS
from qprobe.documents.files import load_document
from qprobe.documents.plan import Plan
from tests.checkpoints import (
    DEEPSEEK_671B,
    LLAMA_70B,
    LLAMA_CONFIG,
    Shapes,
    deepseek_shapes,
    llama_shapes,
    write_config,
    write_large,
    write_safetensors,
)

RUNS = 3
"""What else the machine does slows even the seconds of the processor, of two threads of one core most."""

# Runs one command and tells what it took: a process of its own, so that no other child counts.
MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
sys.stderr.write(done.stderr)
print(done.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
"""


@dataclass(frozen=True)
class Large:
    config: dict
    shapes: Shapes
    shards: int
    memory: str
    seconds: float
    memory_bytes: int


LARGE = {
    "70b": Large(LLAMA_70B, llama_shapes(LLAMA_70B), 30, "400GiB", 5, 500 * 10**6),
    "671b": Large(DEEPSEEK_671B, deepseek_shapes(DEEPSEEK_671B), 163, "3000GiB", 20, 10**9),
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """A cache in which what is compiled once a machine is there, kernels and bytecode, and no measurement."""
    folder = tmp_path_factory.mktemp("first")
    environment = os.environ | {"QPROBE_CACHE": str(folder / "cache")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    write_safetensors(folder / WEIGHTS, llama_shapes(LLAMA_CONFIG))
    model = str(write_config(folder, LLAMA_CONFIG))
    command = [sys.executable, "-m", "qprobe", "plan", "--model", model, "--measure", "never"]
    subprocess.run([*command, "--prompt", "8"], env=environment, capture_output=True, check=True)
    return environment


@pytest.mark.parametrize("large", LARGE.values(), ids=LARGE)
def test_a_plan_from_headers_alone(tmp_path: Path, environment, large: Large):
    model = write_large(tmp_path / "model", large.config, large.shapes, large.shards)
    plan = tmp_path / "plan.json"
    arguments = ["plan", "--model", model, "--measure", "never", "--device", "cpu"]
    arguments += ["--memory", large.memory, "-o", plan]
    script = "from qprobe.cli import main; main()"
    taken: list[float] = []
    for _ in range(RUNS):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, sys.executable, "-c", script, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        status, seconds, peak = map(float, done.stdout.split())
        assert status == 0, done.stderr
        assert peak < large.memory_bytes
        taken.append(seconds)
    assert statistics.median(taken) < large.seconds, taken
    assert plan.stat().st_size < 10 * 10**6
    assert sum(item.n * item.k for item in load_document(Plan, plan).assignments) > 10**9
