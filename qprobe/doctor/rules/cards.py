"""Rates of cards as their data sheets promise them, for figures that are called modelled.

Nobody of this project has measured them. Dense products, sums in 32 bits where the sheet tells; sheets
that advertise sparsity were halved.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from qprobe.documents.machine import Gpu


@dataclass(frozen=True)
class Card:
    """One kind of card."""

    name: str
    """A pattern of the name that the driver tells; cards for laptops share names, not rates."""
    bandwidth_bytes_per_s: float
    ops_per_s: dict[str, float] = field(default_factory=dict)
    """Data type → operations per second; a multiply-add is two."""


def _card(name: str, gb_per_s: float, **tera: float) -> Card:
    return Card(name, gb_per_s * 1e9, {unit: rate * 1e12 for unit, rate in tera.items()})


CARDS = (
    _card(r"P100-SXM2", 732, float16=21),
    # Halves are no use on these: 1/64 of the rate of float32, in which their products are taken.
    _card(r"\bP40$", 346, float16=11.8, int8=47),
    _card(r"\bP4$", 192, float16=5.5, int8=22),
    _card(r"GTX 1080 Ti$", 484, float16=11.3, int8=45),
    _card(r"V100-SXM2", 900, float16=125, int8=62.8),
    _card(r"\bT4\b", 320, float16=65, int8=130),
    _card(r"RTX 2080 Ti$", 616, float16=54, int8=215),
    _card(r"A100-SXM4-80GB", 2039, float16=312, bfloat16=312, int8=624),
    _card(r"A100-(SXM4|PCIE)-40GB", 1555, float16=312, bfloat16=312, int8=624),
    _card(r"\bA10G\b", 600, float16=70, bfloat16=70, int8=140),
    _card(r"\bA10\b", 600, float16=125, bfloat16=125, int8=250),
    _card(r"RTX 3090$", 936, float16=71, bfloat16=71, int8=284),
    _card(r"RTX A6000$", 768, float16=155, bfloat16=155, int8=310),
    _card(r"\bL40S\b", 864, float16=362, bfloat16=362, int8=733, float8_e4m3fn=733),
    _card(r"\bL4\b", 300, float16=121, bfloat16=121, int8=242, float8_e4m3fn=242),
    _card(r"RTX 4090$", 1008, float16=165, bfloat16=165, int8=661, float8_e4m3fn=330),
    _card(r"H100 PCIe", 2000, float16=756, bfloat16=756, int8=1513, float8_e4m3fn=1513),
    _card(r"H100 80GB HBM3", 3350, float16=989, bfloat16=989, int8=1979, float8_e4m3fn=1979),
    _card(r"\bH200$", 4800, float16=989, bfloat16=989, int8=1979, float8_e4m3fn=1979),
    _card(r"G?B200", 8000, float16=2250, bfloat16=2250, int8=4500, float8_e4m3fn=4500),
    _card(r"G?B300", 8000, float16=2250, bfloat16=2250, float8_e4m3fn=4500),
    _card(r"RTX 5090$", 1792, float16=210, bfloat16=210, int8=838, float8_e4m3fn=419),
)
"""The first whose pattern is found counts."""


def find_card(gpu: Gpu) -> Card | None:
    """The row of a card, or None: a slice of a card has a part of its rates."""
    if gpu.mig:
        return None
    return next((card for card in CARDS if re.search(card.name, gpu.name)), None)
