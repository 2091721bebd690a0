"""Which cards compute what in hardware, who does where one does not, and what to use there instead."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from qprobe.documents import arch
from qprobe.documents.machine import Gpu

How = Literal["native", "slow", "absent"]


@dataclass(frozen=True)
class Feature:
    """Arithmetic that methods are built on."""

    words: str
    instructions: tuple[str, ...]
    """Of the capability table; any one that is native will do."""
    instead: str
    """What to use on a card that lacks it."""
    schemes: tuple[str, ...]
    """The same, as schemes whose cost can be modelled."""


FEATURES: dict[str, Feature] = {
    "fp16": Feature(
        "float16 on tensor cores",
        ("hmma_884", "hmma_1688", "tcgen05_f16"),
        "weights in few bits (W4A16, NF4), which save the time of reading them",
        ("W4A16",),
    ),
    "bf16": Feature(
        "bfloat16 on tensor cores",
        ("hmma_16816_bf16",),
        "float16 where the card is fast in it, else float32",
        ("FP16",),
    ),
    "int8": Feature(
        "int8 on tensor cores",
        ("imma_8816", "imma_16832"),
        "weights alone in 8 or 4 bits (W8A16, W4A16, NF4), multiplied in 16 bits",
        ("W8A16", "W4A16"),
    ),
    "fp8": Feature(
        "float8 on tensor cores",
        ("qmma_16832_fp8", "wgmma", "tcgen05_f8f6f4"),
        "int8 (W8A8) where it is native, else weights alone in 8 bits (W8A16)",
        ("W8A8", "W8A16"),
    ),
    "fp4": Feature(
        "float4 (NVFP4, MXFP4) on tensor cores",
        ("qmma_16832_fp4", "omma_16864_fp4", "tcgen05_mxf4"),
        "weights alone in 4 bits (W4A16, NF4)",
        ("W4A16",),
    ),
    "int4": Feature(
        "int4 on tensor cores",
        ("imma_8832_s4",),
        "weights alone in 4 bits (W4A16)",
        ("W4A16",),
    ),
}
"""In the order in which a card's arithmetic is told."""

# wmma alone has it there; `mma.sync`, which the table asks about, does not.
_ALSO_NATIVE = {"int8": ("7.2",)}
# Runs on the instructions of older cards, far below the card's other rates: pytorch issue 187094.
_SLOW = {"int8": ("10.3",)}

EXAMPLES = {
    "6.0": "P100", "6.1": "P40", "7.0": "V100", "7.2": "Xavier", "7.5": "T4", "8.0": "A100",
    "8.6": "A10", "8.7": "Orin", "8.9": "L4", "9.0": "H100", "10.0": "B200", "10.3": "B300",
    "11.0": "Thor", "12.0": "RTX 5090", "12.1": "GB10",
}  # fmt: skip
"""A card of each compute capability."""


def how(feature: str, gpu: Gpu) -> How | None:
    """How a card computes it; None where its architecture is not known."""
    return _look_up(feature, gpu.compute_capability or "", gpu.name)


def lacks(feature: str, gpu: Gpu) -> bool:
    """Whether the card is known not to have it."""
    return how(feature, gpu) == "absent"


def native_on(feature: str, *gpus: Gpu) -> str:
    """Who has it: "7.5 (T4) to 8.9 (L4)", "from 8.0 (A100) on".

    Of a card of `gpus` that lacks it within that range, that it is an exception.
    """
    ranges = [
        list(run)
        for is_native, run in groupby(arch.CAPABILITIES, lambda c: _look_up(feature, c) == "native")
        if is_native
    ]
    words = " and ".join(_tell_range(run[0], run[-1]) for run in ranges)
    odd = dict.fromkeys(gpu.compute_capability for gpu in gpus if _is_odd(feature, gpu))
    return words + "".join(f", but not on this chip, although its number is {n}" for n in odd)


def _is_odd(feature: str, gpu: Gpu) -> bool:
    """Whether the card lacks what others of its number have."""
    by_number = _look_up(feature, gpu.compute_capability or "")
    return by_number == "native" and lacks(feature, gpu)


def _tell_range(first: str, last: str) -> str:
    named = f"{first} ({EXAMPLES[first]})"
    if last == arch.CAPABILITIES[-1]:
        return f"from {named} on"
    return named if first == last else f"{named} to {last} ({EXAMPLES[last]})"


def _look_up(feature: str, capability: str, name: str = "") -> How | None:
    if capability not in arch.CAPABILITIES:
        return None
    if capability in _SLOW.get(feature, ()):
        return "slow"
    if capability in _ALSO_NATIVE.get(feature, ()):
        return "native"
    answers = {arch.support(one, capability, name) for one in FEATURES[feature].instructions}
    return "native" if "native" in answers else "absent"
