"""Asks NVML and prints a line of JSON: `python -m qprobe.probe.ask_nvml`, what torch sees on stdin."""

from __future__ import annotations

import sys

from qprobe._lifetime import die_with_parent
from qprobe.probe.gpus import Told
from qprobe.probe.nvml import probe_gpus
from qprobe.probe.torch_facts import TorchFacts


def main() -> None:
    """Read torch's facts, of which only the GPUs count, and answer."""
    die_with_parent()
    facts = TorchFacts.model_validate_json(sys.stdin.read())
    unanswered: dict[str, str] = {}
    answer = probe_gpus(facts.gpus, unanswered)
    print("\n" + Told(answer=answer, unanswered=unanswered).model_dump_json(), flush=True)


if __name__ == "__main__":
    main()
