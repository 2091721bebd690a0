"""float8 activations and weights through torch's scaled matrix product."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from qprobe.kernels._kernel import Kernel, accept, any_code
from qprobe.kernels.reference import pack_canonical, unpack_canonical

SIDE = 32
SLOW = 20.0
"""So many times slower than float32 means that the product is computed one element at a time."""

CALLS = 20
"""To take the fastest of."""


@functools.cache
def _absent(_device: str) -> str:
    """By running it: where oneDNN has no float8, it multiplies by reference code."""
    try:
        codes = torch.ones(SIDE, SIDE, dtype=torch.float32, device="cpu").to(torch.float8_e4m3fn)
        one, real = _one(), codes.to(torch.float32)
        with _one_thread():
            slow = _seconds(
                lambda: torch._scaled_mm(codes, codes.t(), one, one, out_dtype=real.dtype)
            )
            ratio = slow / _seconds(lambda: real @ real.t())
    except (RuntimeError, AttributeError, TypeError) as error:
        return f"torch's scaled product does not run here: {' '.join(str(error).split()):.200}"
    if ratio > SLOW:
        return (
            f"torch multiplies float8 by reference code here, {ratio:.0f} times slower than float32"
        )
    return ""


@contextmanager
def _one_thread() -> Iterator[None]:
    """On a busy machine, one that spins while another waits for a core takes milliseconds for microseconds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _seconds(call: Callable[[], object]) -> float:
    """Processor seconds of the fastest call: whatever else runs does not count."""
    call()
    found = []
    for _ in range(CALLS):
        start = time.thread_time()
        call()
        found.append(time.thread_time() - start)
    return min(found)


def _run(
    x: Tensor,
    x_scale: Tensor | None,
    packed: Sequence[Tensor],
    bias: Tensor | None,
    out_dtype: torch.dtype,
) -> Tensor:
    if x_scale is None:
        raise TypeError("this kernel multiplies quantized activations")
    weight, scale = packed
    rows, one = x.reshape(-1, x.shape[-1]), _one()
    y = torch._scaled_mm(rows, weight.t(), one, one, out_dtype=torch.float32).mul_(scale.t())
    x_scale = x_scale.reshape(-1, 1)
    y = y.mul_(x_scale) if bias is None else torch.addcmul(bias.float(), y, x_scale, out=y)
    return y.reshape(*x.shape[:-1], y.shape[-1]).to(out_dtype)


@functools.cache
def _one() -> Tensor:
    return torch.ones((), dtype=torch.float32, device="cpu")


KERNEL = Kernel(
    id="cpu.scaled_mm",
    schemes=frozenset({"FP8_DYNAMIC"}),
    device="cpu",
    packing="canonical",
    input="float8_e4m3fn",
    absent=_absent,
    max_code=any_code,
    refuse=accept,
    pack=pack_canonical,
    unpack=unpack_canonical,
    run=_run,
)
