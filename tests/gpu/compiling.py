"""Compiles every build that a card can run, as many at once as there are cores: the tests then wait for no compiler.

`python -m tests.gpu.compiling` does so for the first card, into the cache that $QPROBE_CACHE names.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from qprobe.documents import arch
from qprobe.errors import UnavailableError
from qprobe.kernels.cuda import driver, loader
from qprobe.kernels.cuda.builds import Build
from qprobe.kernels.cuda.cubins import load_cubin, name_build
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.cuda.nvrtc import choose_compiler
from qprobe.kernels.cuda.portfolio import Source, all_sources
from tests.gpu.primitives import copy_sources, lacks


def builds_for(card: Card) -> Iterator[tuple[Source, Build]]:
    """All builds of kernels whose features the card has, or emulates where it is only to be known how fast."""
    for source in all_sources().values():
        features = source.manifest.requires
        answers = {arch.support(feature, card.capability, card.name) for feature in features}
        allowed = {"native", "emulated"} if source.manifest.role == "peak" else {"native"}
        if answers <= allowed:
            for build in source.runnable_builds(card.capability):
                yield source, build


def primitives_for(card: Card, folder: Path) -> Iterator[tuple[Source, Build]]:
    """The builds that the golden vectors are asked of, copied to a folder: where a source lies is not part of its name."""
    for name, source in copy_sources(folder).items():
        if not lacks(source, name, card):
            yield source, source.builds[name]


def compile_for(
    card: Card, driver_cuda: tuple[int, int], wanted: Iterable[tuple[Source, Build]]
) -> list[str]:
    """Fill the cache for a card; what does not compile, in words."""

    def compile_one(one: tuple[Source, Build]) -> str:
        source, build = one
        try:
            choice = choose_compiler(card.capability, source.manifest.requires, driver_cuda)
            load_cubin(source.path, build, choice)
        except UnavailableError as error:
            return f"{name_build(source.path, build)}: {error}"
        return ""

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [words for words in pool.map(compile_one, wanted) if words]


def main() -> int:
    """Compile for the first card; 1 where something does not compile."""
    card = driver.find_card(0)
    with tempfile.TemporaryDirectory() as folder:
        wanted = [*builds_for(card), *primitives_for(card, Path(folder))]
        wrong = compile_for(card, loader._driver_cuda(), wanted)
    for words in wrong:
        print(words)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
