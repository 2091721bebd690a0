"""Builds that a newer card would not choose: they are the only ones that an older card has, and run here as well."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from qprobe.documents import arch
from qprobe.kernels.cuda import _ready, suspects
from qprobe.kernels.cuda.builds import Build
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.cuda.kernels import cuda_kernels
from qprobe.kernels.cuda.portfolio import Source, all_sources
from tests.gpu.products import make_product

SHAPE = (5, 72, 512)


def runnable_builds(card: Card) -> Iterator[tuple[object, Source, Build]]:
    """Kernel, source and build of all that the card has the features and the shared memory for."""
    for kernel in cuda_kernels():
        source = all_sources()[kernel.id.removeprefix("cuda.")]
        if arch.missing(source.manifest.requires, card.capability, card.name):
            continue
        if suspects.find_crash(source, card):
            continue
        for build in source.runnable_builds(card.capability):
            yield kernel, source, build


def run_build(kernel, source: Source, build: Build, device, monkeypatch) -> tuple[float, float]:
    """The error of a product by that build and no other of the kernel, and what it may be."""
    kept = Source.find_builds

    def find_builds(self, *wanted):
        return (build,) if self is source else kept(self, *wanted)

    scheme = (build.schemes or source.manifest.schemes)[0]
    with monkeypatch.context() as patch:
        patch.setattr(Source, "find_builds", find_builds)
        _ready.forget()
        product = make_product(kernel, scheme, getattr(torch, build.activation), *SHAPE, device)
        error = product.error(product.run())
    _ready.forget()
    return error, product.limit
