"""Asks and tests what needs torch, a line of JSON an answer: `python -m qprobe.probe.self_test`.

Each line is out before the next question is begun: what kills the process takes only its own answer with it.
"""

from __future__ import annotations

import statistics
import sys
import time

from qprobe._lifetime import die_with_parent
from qprobe.documents.machine import Nvrtc
from qprobe.kernels.resources import available_memory_bytes, last_level_cache_bytes
from qprobe.probe.isolated import AT_MOST, QUESTIONS, SelfTestAnswer
from qprobe.probe.torch_facts import TorchFacts, ask_torch

_SHAPE = (256, 1024, 1024)  # large enough that arithmetic, not the call, takes the time
_PAIRS = 5
_LIMIT_S = 0.8


def measure_bf16_speed() -> float:
    """Speed of a bf16 matrix product over the same in fp32: median of interleaved pairs."""
    import torch

    m, k, n = _SHAPE
    x, w = torch.ones(m, k), torch.ones(n, k)
    x16, w16 = x.bfloat16(), w.bfloat16()

    def seconds(x: torch.Tensor, w: torch.Tensor) -> float:
        start = time.perf_counter()
        torch.nn.functional.linear(x, w)
        return time.perf_counter() - start

    seconds(x, w)
    seconds(x16, w16)
    ratios: list[float] = []
    start = time.perf_counter()
    while not ratios or (len(ratios) < _PAIRS and time.perf_counter() - start < _LIMIT_S):
        ratios.append(seconds(x, w) / seconds(x16, w16))
    return statistics.median(ratios)


def answer(question: str, facts: TorchFacts, most_bytes: int | None = None) -> SelfTestAnswer:
    """Run what a word of `QUESTIONS` stands for; "facts" are known already."""
    if question == "compilers":
        from qprobe.kernels.cuda.nvrtc import describe_compilers

        found = tuple(Nvrtc.model_validate(item) for item in describe_compilers())
        return SelfTestAnswer(compilers=found)
    if question == "facts" or facts.build is None:
        return SelfTestAnswer(facts=facts)
    if question == "bandwidth":
        from qprobe.probe.bandwidth import measure_bandwidth

        return SelfTestAnswer(
            bandwidth=measure_bandwidth(
                last_level_cache_bytes(), available_memory_bytes(), most_bytes
            )
        )
    if question == "int8":
        from qprobe.kernels.int8_self_test import int8_self_test

        return SelfTestAnswer(int8=int8_self_test())
    return SelfTestAnswer(bf16=measure_bf16_speed())


def main(words: list[str]) -> None:
    """Print one line of JSON for each question, or for all; "at-most=N" limits the memory, in bytes."""
    die_with_parent()
    limits = [int(word.removeprefix(AT_MOST)) for word in words if word.startswith(AT_MOST)]
    questions = [word for word in words if not word.startswith(AT_MOST)]
    facts = ask_torch()
    for question in questions or QUESTIONS:
        # A line of its own, even where a library has printed the beginning of one.
        print(
            "\n"
            + answer(question, facts, min(limits, default=None)).model_dump_json(
                exclude_unset=True
            ),
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
