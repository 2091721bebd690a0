"""Launches that begin before the kernel before them has ended read nothing that it has yet to write."""

import threading

import pytest
import torch

from qprobe.kernels.cuda import _ready, loader, overlap
from qprobe.kernels.cuda.driver import find_card
from qprobe.kernels.cuda.kernels import cuda_kernels
from qprobe.kernels.cuda.portfolio import all_sources
from tests.gpu.products import make_product

DTYPE = torch.float16
SIZE = 1024
STEPS = 24
LONG = 20_000_000
"""Clocks that a kernel before takes."""
OVERLAPPING = [
    pytest.param((kernel, scheme), id=f"{kernel.id}-{scheme}")
    for kernel in cuda_kernels()
    if all_sources()[kernel.id.removeprefix("cuda.")].manifest.overlaps
    for scheme in (min(kernel.schemes), max(kernel.schemes))
]


@pytest.fixture(params=OVERLAPPING)
def product(request, device):
    """Square, so that what one gives is what the next takes."""
    card = find_card(device.index)
    if not overlap.can_overlap(card.capability) or loader._driver_cuda() < overlap.FIRST_CUDA:
        pytest.skip(f"{card.name} or its driver overlaps no kernels")
    assert overlap.find_launcher(card.capability, loader._driver_cuda()) is not None
    product = make_product(*request.param, DTYPE, 1, SIZE, SIZE, device)
    if product.objection:
        pytest.skip(product.objection)
    product.tensors["weight_scale"].mul_(SIZE**-0.5)  # A chain of them neither grows nor vanishes.
    return product


@pytest.fixture
def multiply(product):
    """y of x, by a weight that has been there for long."""
    packed = product.kernel.pack(product.tensors, product.spec)

    def run(x):
        return product.kernel.run(x, None, packed, product.bias, DTYPE)

    run.packed = packed
    run(product.x)
    torch.cuda.synchronize()
    return run


@pytest.mark.parametrize("rows", [1, 2, 7, 16, 40])
def test_a_chain_gives_the_same_as_step_by_step(multiply, device, rows):
    """Each step reads what the step before writes: in a stream and in a graph."""

    def run(between):
        x = start.clone()
        for _ in range(STEPS):
            x = multiply(x)
            between()
        return x

    start = torch.randn(rows, SIZE, device=device, dtype=DTYPE)
    wanted = run(torch.cuda.synchronize)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run(lambda: None)
    for _ in range(20):
        assert torch.equal(run(lambda: None), wanted)
        captured.zero_()
        graph.replay()
        torch.cuda.synchronize()
        assert torch.equal(captured, wanted)


@pytest.mark.parametrize("rows", [1, 16])
def test_x_that_a_long_kernel_writes_is_waited_for(multiply, device, rows):
    for seed in range(3):
        torch.manual_seed(seed)
        later = torch.randn(rows, SIZE, device=device, dtype=DTYPE)
        wanted, x = multiply(later), torch.full_like(later, torch.nan)
        torch.cuda.synchronize()
        torch.cuda._sleep(LONG)
        x.copy_(later)
        assert torch.equal(multiply(x), wanted)


def test_weights_that_a_kernel_before_writes_are_waited_for(multiply, product, device):
    words, scales = multiply.packed[:2]
    kept = [tensor.clone() for tensor in (words, scales)]
    wanted = multiply(product.x)
    words.zero_()
    scales.zero_()
    multiply(product.x)
    torch.cuda.synchronize()
    torch.cuda._sleep(LONG)
    words.copy_(kept[0])
    scales.copy_(kept[1])
    assert torch.equal(multiply(product.x), wanted)


def test_y_in_memory_that_a_kernel_before_still_reads(multiply, product, device):
    """Freed on the host, and given to y, while the card has yet to read it."""
    shape, kept = (1, SIZE), torch.empty(64, 1, SIZE, device=device, dtype=DTYPE)
    wanted = multiply(product.x)
    for i in range(len(kept)):
        other = torch.full(shape, float(i), device=device, dtype=DTYPE)
        if i == 0:
            torch.cuda._sleep(LONG)
        kept[i].copy_(other)
        del other
        y = multiply(product.x)
        assert torch.equal(y, wanted)
    found = kept[:, 0, 0].tolist()
    assert found == list(range(len(kept)))


def test_threads_with_streams_of_their_own(multiply, product, device):
    wanted, wrong = multiply(product.x), []
    torch.cuda.synchronize()

    def run():
        with torch.cuda.stream(torch.cuda.Stream()):
            found = [multiply(product.x) for _ in range(200)]
            torch.cuda.current_stream().synchronize()
            wrong.extend(not torch.equal(y, wanted) for y in found)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 800
    assert not any(wrong)


def test_it_does_overlap(multiply, product, monkeypatch):
    """The driver is asked for it. Whether it then does is for the benchmark to show."""
    asked = []
    kept = overlap.find_launcher(find_card(0).capability, loader._driver_cuda())
    assert kept is not None
    monkeypatch.setattr(
        overlap, "_find_function", lambda: lambda *given: asked.append(given) or kept(*given)
    )
    loader._load.cache_clear()
    _ready.forget()
    try:
        first = multiply(product.x)
        assert torch.equal(multiply(product.x), first)
    finally:
        loader._load.cache_clear()
        _ready.forget()
    assert len(asked) == 2
