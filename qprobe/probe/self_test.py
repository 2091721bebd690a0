"""Tests the CPU's arithmetic and prints the answer as JSON: `python -m qprobe.probe.self_test`."""

from __future__ import annotations

import statistics
import time

import torch

from qprobe.kernels.int8_self_test import int8_self_test
from qprobe.probe.isolated import SelfTestAnswer

_SHAPE = (256, 1024, 1024)  # large enough that arithmetic, not the call, takes the time
_PAIRS = 5
_LIMIT_S = 0.8


def measure_bf16_speed() -> float:
    """Speed of a bf16 matrix product over the same in fp32: median of interleaved pairs."""
    m, k, n = _SHAPE
    x, w = torch.ones(m, k), torch.ones(n, k)
    x16, w16 = x.bfloat16(), w.bfloat16()
    _seconds(x, w)
    _seconds(x16, w16)
    ratios: list[float] = []
    start = time.perf_counter()
    while not ratios or (len(ratios) < _PAIRS and time.perf_counter() - start < _LIMIT_S):
        ratios.append(_seconds(x, w) / _seconds(x16, w16))
    return statistics.median(ratios)


def _seconds(x: torch.Tensor, w: torch.Tensor) -> float:
    start = time.perf_counter()
    torch.nn.functional.linear(x, w)
    return time.perf_counter() - start


def main() -> None:
    """Print one line of JSON."""
    answer = SelfTestAnswer(int8=int8_self_test(), bf16_speed_ratio=measure_bf16_speed())
    print(answer.model_dump_json())


if __name__ == "__main__":
    main()
