"""Runs every kernel of ours on small awkward shapes, and in parts along K: what compute-sanitizer watches."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import torch

from qprobe.kernels.cuda import _ready
from qprobe.kernels.cuda._stored import NAMES
from qprobe.kernels.cuda.kernels import cuda_kernels
from qprobe.kernels.cuda.portfolio import all_sources
from tests.gpu.products import make_product

DTYPE = torch.float16
EVERY_SCHEME = (2, 33, 256)
SHAPES = ((1, 33, 128), (17, 136, 256))
IN_PARTS = (3, 40, 8192)
"""So few features and so much of K that no card is filled otherwise."""


def list_cases() -> Iterator[tuple[object, str, tuple[int, int, int]]]:
    """Kernel, scheme and shape: each scheme once, and one of each kernel on every shape."""
    for kernel in cuda_kernels():
        for number, scheme in enumerate(sorted(kernel.schemes)):
            for shape in (EVERY_SCHEME,) if number else (EVERY_SCHEME, *SHAPES, IN_PARTS):
                yield kernel, scheme, shape


def can_split(kernel) -> bool:
    """Whether a kernel can cut K into parts, whose sums the last block adds."""
    manifest = all_sources()[kernel.id.removeprefix("cuda.")].manifest
    return manifest.role != "dequantize" and "split" in manifest.arguments


def count_parts(kernel, scheme: str, shape: tuple[int, int, int], index: int = 0) -> int:
    """Into how many parts a run of a product cuts K, on a card."""
    source = all_sources()[kernel.id.removeprefix("cuda.")]
    if not can_split(kernel):
        return 1
    m, n, k = shape
    number, thread = NAMES.index(scheme), threading.get_ident()
    return _ready.make_ready(source, number, DTYPE, m, n, k, index, thread).parts


def main() -> None:
    """Print each case that ran: kernel, scheme, M, N, K and parts; raises where a product is wrong."""
    device = torch.device("cuda", 0)
    for kernel, scheme, shape in list_cases():
        product = make_product(kernel, scheme, DTYPE, *shape, device)
        if product.objection:
            continue
        error = product.error(product.run())
        assert error <= product.limit, (kernel.id, scheme, shape, error)
        print(kernel.id, scheme, *shape, count_parts(kernel, scheme, shape), flush=True)
    torch.cuda.synchronize()


if __name__ == "__main__":
    main()
