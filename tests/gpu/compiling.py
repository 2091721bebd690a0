"""Compiles every build that a card can run, as many at once as there are cores: the tests then wait for no compiler.

`python -m tests.gpu.compiling` does so for the first card, into the cache that $QPROBE_CACHE names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from qprobe.documents import arch
from qprobe.errors import UnavailableError
from qprobe.kernels.cuda import driver, loader
from qprobe.kernels.cuda.builds import Build
from qprobe.kernels.cuda.cubins import load_cubin, name_build
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.cuda.nvrtc import choose_compiler
from qprobe.kernels.cuda.portfolio import Source, all_sources


def builds_for(card: Card) -> Iterator[tuple[Source, Build]]:
    """All builds of kernels whose features the card has, or emulates where it is only to be known how fast."""
    for source in all_sources().values():
        features = source.manifest.requires
        answers = {arch.support(feature, card.capability, card.name) for feature in features}
        allowed = {"native", "emulated"} if source.manifest.role == "peak" else {"native"}
        if answers <= allowed:
            for build in source.runnable_builds(card.capability):
                yield source, build


def compile_for(card: Card, driver_cuda: tuple[int, int]) -> list[str]:
    """Fill the cache for a card; what does not compile, in words."""

    def compile_one(wanted: tuple[Source, Build]) -> str:
        source, build = wanted
        try:
            choice = choose_compiler(card.capability, source.manifest.requires, driver_cuda)
            load_cubin(source.path, build, choice)
        except UnavailableError as error:
            return f"{name_build(source.path, build)}: {error}"
        return ""

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [words for words in pool.map(compile_one, builds_for(card)) if words]


def main() -> int:
    """Compile for the first card; 1 where something does not compile."""
    wrong = compile_for(driver.find_card(0), loader._driver_cuda())
    for words in wrong:
        print(words)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
