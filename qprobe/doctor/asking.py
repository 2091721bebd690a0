"""What the probe has to ask of torch before a check can answer; all else the system tells at once."""

from __future__ import annotations

from collections.abc import Iterable

from qprobe.doctor.runner import list_checks

EVERYTHING = ("facts", "bandwidth", "int8", "bf16", "compilers")
"""The probe's questions: what torch is and sees, and what running something tells."""
_FACTS = ("facts",)
_QUESTIONS: dict[str, tuple[str, ...]] = {
    "cache": (), "container": (), "environment": (), "hf": (), "load": (), "memory": (),
    "bandwidth": ("facts", "bandwidth"), "bf16": ("facts", "bf16"),
    "int8-arithmetic": ("facts", "int8"), "nvrtc": ("facts", "compilers"),
    **dict.fromkeys(
        ("clocks", "compiler", "cpu-isa", "cupy", "ecc", "gpu", "gpu-arithmetic", "gpu-bf16",
         "gpu-memory", "gpu-torch", "libraries", "mig", "pcie", "peft-bitsandbytes", "power",
         "record", "threads", "torch"),
        _FACTS,
    ),
}  # fmt: skip


def questions_for(checks: Iterable[str], has_methods: bool) -> tuple[str, ...]:
    """The questions that checks, those that they need, and methods want answered, in their order.

    Of a check that is not in the table, everything is asked. Methods want to know which GPUs there are,
    which torch tells where the driver does not.
    """
    known = {check.id: check for check in list_checks()}
    left, asked = list(checks), set(_FACTS if has_methods else ())
    while left:
        name = left.pop()
        asked |= set(_QUESTIONS.get(name, EVERYTHING))
        left += known[name].needs if name in known else ()
    return tuple(question for question in EVERYTHING if question in asked)
