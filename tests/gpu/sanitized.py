"""Runs every kernel of ours once on small awkward shapes: what compute-sanitizer watches."""

from __future__ import annotations

import torch

from qprobe.kernels.cuda.kernels import cuda_kernels
from tests.gpu.products import LIMITS, make_product

SHAPES = ((1, 33, 128), (17, 136, 256))


def main() -> None:
    """Print each kernel that ran; raises where a product is wrong."""
    device = torch.device("cuda", 0)
    for kernel in cuda_kernels():
        scheme = sorted(kernel.schemes)[0]
        for m, n, k in SHAPES:
            product = make_product(kernel, scheme, torch.float16, m, n, k, device)
            if product.objection:
                break
            error = product.error(product.run())
            assert error <= LIMITS[torch.float16], (kernel.id, m, n, k, error)
        else:
            print(kernel.id, scheme, flush=True)
    torch.cuda.synchronize()


if __name__ == "__main__":
    main()
