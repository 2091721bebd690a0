"""What a layer of a scheme would cost on a card, by the roofline of its data sheet."""

from __future__ import annotations

from qprobe.doctor.rules.cards import Card, find_card
from qprobe.documents.machine import Gpu
from qprobe.documents.profile import REFERENCE_FACT, KernelFact, Shape
from qprobe.documents.roofline import UNCERTAINTY, linear_work
from qprobe.documents.scheme import SCHEMES

_N = _K = 4096
FEW, MANY = 1, 512
"""Rows: of one token that is generated, and of a prompt."""
_FUSED = KernelFact(
    kernel="", schemes=(), packing="", available=True, reason="", multiplies_codes=True
)


def model_seconds(card: Card, scheme: str, m: int) -> float | None:
    """Seconds of a layer of 4096 × 4096 with activations in float16; None without a rate for it.

    Weights alone in few bits are multiplied as they are stored at few rows; at many they are written out
    in 16 bits first.
    """
    preset = SCHEMES[scheme]
    is_written = preset.input_activations is None and m > FEW
    fact = REFERENCE_FACT if is_written else _FUSED
    work = linear_work(preset, fact, "float16", Shape(m=m, n=_N, k=_K))
    rate = card.ops_per_s.get(work.unit)
    return rate and work.seconds(card.bandwidth_bytes_per_s, rate)


def tell_cost(gpu: Gpu, schemes: tuple[str, ...]) -> str:
    """A sentence with the modelled times of float16 and the schemes; "" where nothing is known."""
    card = find_card(gpu)
    if card is None or not schemes:
        return ""
    parts = []
    for m in (FEW, MANY):
        rows = "1 row" if m == 1 else f"{m} rows"
        times = [
            f"{'float16' if scheme == 'FP16' else scheme} {_micro(seconds)}"
            for scheme in dict.fromkeys(("FP16", *schemes))
            if (seconds := model_seconds(card, scheme, m)) is not None
        ]
        parts.append(f"{rows}: {', '.join(times)}")
    return (
        f"Modelled from the data sheet, ±{UNCERTAINTY:.0%}, for a layer of {_N} × {_K}: "
        f"{'; '.join(parts)}."
    )


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:.2g} µs" if seconds < 99.5e-6 else f"{seconds * 1e6:.0f} µs"
