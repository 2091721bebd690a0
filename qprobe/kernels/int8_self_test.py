"""Finds out by multiplying whether int8 products are right on this CPU.

x86 without VNNI adds pairs of 8-bit products in 16 bits, which clip: `saturates`. Seven-bit weights are
exact even there, because 255 · 63 · 2 < 2¹⁵.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch

from qprobe.documents.machine import Int8SelfTest
from qprobe.documents.scheme import FULL_RANGE, REDUCED_RANGE

# M = 1 and M > 1 take different kernels; an odd K has a remainder after the vectors.
_SHAPES = ((1, 256, 32), (16, 256, 32), (7, 33, 17))


@cache
def int8_self_test() -> Int8SelfTest:
    """Run oneDNN's int8 linear and `torch._int_mm` against the exact integer product.

    Takes some 20 ms, once per process. An op that is missing or refuses is `failed`, in its words.
    """
    full, reduced = {}, {}
    for name, product in (("onednn.qlinear_pointwise", _qlinear), ("torch._int_mm", _int_mm)):
        try:
            full[name] = worst_error(product, FULL_RANGE)
            reduced[name] = worst_error(product, REDUCED_RANGE)
        except (RuntimeError, AttributeError) as error:
            words = str(error).strip().partition("\n")[0]
            return Int8SelfTest(
                outcome="failed", worst_relative_error=None, words=f"{name} does not run: {words}"
            )
    return _judge(full, reduced)


def _judge(full: dict[str, float], reduced: dict[str, float]) -> Int8SelfTest:
    """Sum up relative errors by op, with weights of the full and of the reduced range."""
    worst = max(full.values())
    seen = "; ".join(
        f"{name}: {_percent(full[name])} with weights of ±{FULL_RANGE}, "
        f"{_percent(reduced[name])} with ±{REDUCED_RANGE}"
        for name in full
    )
    outcome = "exact" if worst == 0 else "saturates" if not any(reduced.values()) else "wrong"
    return Int8SelfTest.model_validate(
        {"outcome": outcome, "worst_relative_error": worst, "words": seen}
    )


def _percent(error: float) -> str:
    return f"off by {error:.0%} of the largest sum" if error else "exact"


def worst_error(product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], limit: int) -> float:
    """Largest error over the largest sum; weights within ±limit, random and all extreme.

    `product` takes x (M, K) and w (N, K), both int8, to their product (M, N) of any type.
    """
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for m, k, n in _SHAPES:
        random_x = torch.randint(
            -128, 128, (m, k), dtype=torch.int8, generator=generator, device="cpu"
        )
        random_w = torch.randint(
            -limit, limit + 1, (n, k), dtype=torch.int8, generator=generator, device="cpu"
        )
        extreme_x = torch.full((m, k), 127, dtype=torch.int8, device="cpu")
        extreme_w = torch.full((n, k), limit, dtype=torch.int8, device="cpu")
        extreme_w[1::2] = -limit
        for x, w in ((random_x, random_w), (extreme_x, extreme_w)):
            exact = x.long() @ w.long().T
            error = (product(x, w).double() - exact).abs().max() / exact.abs().max()
            worst = max(worst, float(error))
    return worst


def _qlinear(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """As the oneDNN kernel runs it: unsigned activations with zero point 128, fp32 out."""
    n = w.shape[0]
    packed = torch.ops.onednn.qlinear_prepack(w, None)
    ones = torch.ones(n, dtype=torch.float32, device="cpu")
    zeros = torch.zeros(n, dtype=torch.int64, device="cpu")
    codes = (x.short() + 128).to(torch.uint8)
    y: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
        codes, 1.0, 128, packed, ones, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return y


def _int_mm(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return torch._int_mm(x, w.T)
