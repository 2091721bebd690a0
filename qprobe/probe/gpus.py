"""Has NVML asked in a process of its own: a driver that hangs or crashes is only a fact."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pydantic import ValidationError

from qprobe.documents.base import Document
from qprobe.probe.isolated import run_apart
from qprobe.probe.nvml import NvmlAnswer, has_library, probe_gpus, without_nvml
from qprobe.probe.torch_facts import TorchFacts, TorchGpu

COMMAND = (sys.executable, "-m", "qprobe.probe.ask_nvml")
LIMIT_S = 30.0  # a driver that nobody keeps loaded takes seconds a card to start


class Told(Document):
    """What the process says."""

    answer: NvmlAnswer
    unanswered: dict[str, str]


def ask_gpus(
    seen: Sequence[TorchGpu],
    unanswered: dict[str, str],
    command: Sequence[str] | None = None,
    limit_s: float = LIMIT_S,
) -> NvmlAnswer:
    """Every NVIDIA GPU; where NVML does not answer, what torch sees and why in `unanswered`.

    No process is started where NVML's library is not there.
    """
    if command is None and not has_library():
        return probe_gpus(seen, unanswered)
    facts = TorchFacts(build=None, gpus=tuple(seen), unanswered={})
    text, words = run_apart(command or COMMAND, limit_s, facts.model_dump_json())
    try:
        told = Told.model_validate_json(text.strip().rpartition("\n")[2])
    except ValidationError:
        unanswered["gpus"] = f"{words or 'no answer'}, in a process of its own"
        return without_nvml(seen, unanswered)
    unanswered |= told.unanswered
    return told.answer
