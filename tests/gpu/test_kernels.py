"""Every kernel on the live card, ours and torch's, against the exact product of what is stored."""

import pytest
import torch

from qprobe.documents import arch
from qprobe.documents.scheme import SCHEMES
from qprobe.kernels.cuda import driver, suspects
from qprobe.kernels.cuda.kernels import cuda_kernels
from qprobe.kernels.cuda.portfolio import all_sources
from tests.gpu.products import IDS, PAIRS, make_product

SHAPES = [
    (1, 1, 128), (1, 4096, 4096), (2, 33, 256), (3, 100, 97), (5, 24, 384), (8, 512, 11008),
    (9, 64, 128), (16, 256, 1024), (17, 40, 640), (33, 129, 512), (64, 96, 2048), (127, 320, 256),
    (128, 1000, 768), (129, 136, 1152), (300, 520, 1536), (1025, 257, 384), (5, 3, 1), (0, 16, 128),
]  # fmt: skip
DTYPES = (torch.float16, torch.bfloat16, torch.float32)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype)[6:])
@pytest.mark.parametrize(("kernel", "scheme"), PAIRS, ids=IDS)
def test_products_are_exact_but_for_rounding(device, kernel, scheme, dtype):
    tried, words = 0, ""
    for shape in SHAPES:
        if SCHEMES[scheme].objection(*shape[1:]):
            continue
        product = make_product(kernel, scheme, dtype, *shape, device)
        words = product.objection or words
        if product.objection:
            continue
        tried += 1
        y = product.run()
        assert y.dtype == dtype
        assert product.error(y) <= product.limit, shape
    if not tried:
        pytest.skip(words)


@pytest.mark.parametrize(("kernel", "scheme"), PAIRS, ids=IDS)
def test_packing_is_reversed_bit_for_bit(device, kernel, scheme):
    done = 0
    for n, k in ((64, 256), (40, 384), (129, 640)):
        for dtype in DTYPES:
            product = make_product(kernel, scheme, dtype, 1, n, k, device)
            if product.objection:
                continue
            done += 1
            again = kernel.unpack(kernel.pack(product.tensors, product.spec), product.spec)
            for name, tensor in product.tensors.items():
                assert again[name].device == tensor.device
                bits = [t.reshape(-1).view(torch.uint8) for t in (again[name], tensor)]
                assert torch.equal(*bits), name
    if not done:
        pytest.skip(product.objection)


@pytest.mark.parametrize(("kernel", "scheme"), PAIRS, ids=IDS)
def test_the_same_product_gives_the_same_bits(device, kernel, scheme):
    """A sum in another order from call to call would be a race."""
    product = make_product(kernel, scheme, torch.bfloat16, 4, 192, 4096, device)
    if product.objection:
        pytest.skip(product.objection)
    packed = kernel.pack(product.tensors, product.spec)
    first = product.run(packed)
    assert all(torch.equal(product.run(packed), first) for _ in range(20))


@pytest.mark.parametrize("kernel", cuda_kernels(), ids=lambda kernel: kernel.id)
def test_kernels_for_other_architectures_run_here_if_they_compile(device, kernel):
    """What one card can check of kernels that are written for cards that are not at hand."""
    source = all_sources()[kernel.id.removeprefix("cuda.")]
    card = driver.find_card(device.index)
    absent = [
        feature
        for feature in source.manifest.requires
        if arch.support(feature, card.capability, card.name) in ("absent", None)
    ]
    if absent:
        pytest.skip(f"{card.capability} has no {', '.join(absent)}")
    if words := suspects.find_crash(source, card):
        pytest.fail(words)
    for scheme in sorted(kernel.schemes):
        for dtype in DTYPES:
            if not source.find_builds(scheme, dtype, card.capability):
                continue
            for shape in ((1, 64, 256), (7, 96, 1024), (40, 200, 384), (130, 136, 640)):
                product = make_product(kernel, scheme, dtype, *shape, device)
                assert product.error(product.run()) <= product.limit, (scheme, dtype, shape)


@pytest.mark.parametrize(("kernel", "scheme"), PAIRS, ids=IDS)
def test_every_element_is_written(device, kernel, scheme):
    product = make_product(kernel, scheme, torch.bfloat16, 6, 200, 512, device)
    if product.objection:
        pytest.skip(product.objection)
    assert product.run_poisoned().isfinite().all()
