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
    source: str
    """Where the rates were published."""
    ops_per_s: dict[str, float] = field(default_factory=dict)
    """Data type → operations per second; a multiply-add is two."""


def _card(name: str, source: str, gb_per_s: float, **tera: float) -> Card:
    rates = {unit: rate * 1e12 for unit, rate in tera.items()}
    return Card(name, gb_per_s * 1e9, source, rates)


_NV = "https://www.nvidia.com/content/dam/en-zz/Solutions"
_IMAGES = "https://images.nvidia.com"
_P100 = f"{_IMAGES}/content/tesla/pdf/nvidia-tesla-p100-datasheet.pdf"
_P40 = f"{_IMAGES}/content/pdf/tesla/184427-Tesla-P40-Datasheet-NV-Final-Letter-Web.pdf"
_P4 = f"{_IMAGES}/content/pdf/tesla/184457-Tesla-P4-Datasheet-NV-Final-Letter-Web.pdf"
_PASCAL = "https://www.nvidia.com/en-us/geforce/10-series/"
_V100 = f"{_IMAGES}/content/technologies/volta/pdf/volta-v100-datasheet-update-us-1165301-r5.pdf"
_T4 = f"{_NV}/Data-Center/tesla-t4/t4-tensor-core-datasheet-951643.pdf"
_TURING = (
    f"{_IMAGES}/aem-dam/en-zz/Solutions/design-visualization/technologies/turing-architecture/"
    "NVIDIA-Turing-Architecture-Whitepaper.pdf"
)
_TU116 = "https://www.tomshardware.com/reviews/nvidia-geforce-gtx-1660-turing-tu116,6027.html"
_A100 = f"{_NV}/Data-Center/a100/pdf/nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf"
_A10 = "https://www.nvidia.com/en-us/data-center/products/a10-gpu/"
_A10G = (
    "https://d1.awsstatic.com/product-marketing/ec2/NVIDIA_AWS_A10G_DataSheet_FINAL_02_17_2022.pdf"
)
_GA102 = (
    "https://www.nvidia.com/content/PDF/nvidia-ampere-ga-102-gpu-architecture-whitepaper-v2.1.pdf"
)
_L4 = "https://www.nvidia.com/en-us/data-center/l4/"
_L40S = "https://www.nvidia.com/en-us/data-center/l40s/"
_ADA = f"{_IMAGES}/aem-dam/Solutions/geforce/ada/nvidia-ada-gpu-architecture.pdf"
_H100 = "https://www.nvidia.com/en-us/data-center/h100/"
_H200 = "https://www.nvidia.com/en-us/data-center/h200/"
_HGX = "https://www.nvidia.com/en-us/data-center/hgx/"
_RTX_50 = f"{_IMAGES}/aem-dam/Solutions/geforce/blackwell/nvidia-rtx-blackwell-gpu-architecture.pdf"

CARDS = (
    _card(r"P100-SXM2", _P100, 732, float16=21),
    # Halves are no use on these: 1/64 of the rate of float32, in which their products are taken.
    _card(r"\bP40$", _P40, 346, float16=11.8, int8=47),
    _card(r"\bP4$", _P4, 192, float16=5.5, int8=22),
    _card(r"GTX 1080 Ti$", _PASCAL, 484, float16=11.3, int8=45),
    # int8 by dp4a, counted: SMs × 64 lanes × 8 operations × clock.
    _card(r"V100-SXM2", _V100, 900, float16=125, int8=62.8),
    _card(r"V100-PCIE", _V100, 900, float16=112, int8=56.5),
    _card(r"\bT4\b", _T4, 320, float16=65, int8=130),
    # Halves at twice the rate of float32 on cores of their own; both counted from SMs and clock.
    _card(r"GTX 1660$", _TU116, 192, float16=10.05, int8=20.1),
    _card(r"GTX 1660 Ti$", _TU116, 288, float16=10.9, int8=21.7),
    _card(r"RTX 2080 Ti$", _TURING, 616, float16=54, int8=215),
    _card(r"A100-SXM4-80GB", _A100, 2039, float16=312, bfloat16=312, int8=624),
    _card(r"A100 80GB PCIe", _A100, 1935, float16=312, bfloat16=312, int8=624),
    _card(r"A100-(SXM4|PCIE)-40GB", _A100, 1555, float16=312, bfloat16=312, int8=624),
    _card(r"\bA10G\b", _A10G, 600, float16=70, bfloat16=70, int8=140),
    _card(r"\bA10\b", _A10, 600, float16=125, bfloat16=125, int8=250),
    _card(r"RTX 3090$", _GA102, 936, float16=71, bfloat16=71, int8=284),
    _card(r"RTX A6000$", _GA102, 768, float16=155, bfloat16=155, int8=310),
    _card(r"\bL40S\b", _L40S, 864, float16=362, bfloat16=362, int8=733, float8_e4m3fn=733),
    _card(r"\bL4\b", _L4, 300, float16=121, bfloat16=121, int8=242, float8_e4m3fn=242),
    _card(r"RTX 4090$", _ADA, 1008, float16=165, bfloat16=165, int8=661, float8_e4m3fn=330),
    _card(r"H100 PCIe", _H100, 2000, float16=756, bfloat16=756, int8=1513, float8_e4m3fn=1513),
    _card(r"H100 80GB HBM3", _H100, 3350, float16=989, bfloat16=989, int8=1979, float8_e4m3fn=1979),
    _card(r"\bH200$", _H200, 4800, float16=989, bfloat16=989, int8=1979, float8_e4m3fn=1979),
    _card(r"G?B200", _HGX, 8000, float16=2250, bfloat16=2250, int8=4500, float8_e4m3fn=4500),
    _card(r"G?B300", _HGX, 8000, float16=2250, bfloat16=2250, float8_e4m3fn=4500),
    _card(r"RTX 5090$", _RTX_50, 1792, float16=210, bfloat16=210, int8=838, float8_e4m3fn=419),
)
"""The first whose pattern is found counts. A card whose dense rates nobody publishes has no row: GB10."""


def find_card(gpu: Gpu) -> Card | None:
    """The row of a card, or None: a slice of a card has a part of its rates."""
    if gpu.mig:
        return None
    return next((card for card in CARDS if re.search(card.name, gpu.name)), None)
