"""Launches that may begin before the kernel before them has ended: when they are asked for, and how."""

import copy
import ctypes
import gc
import threading
from types import SimpleNamespace

import pytest
import torch

from qprobe.documents import arch
from qprobe.errors import UnavailableError
from qprobe.kernels.cuda import _products, _settled, loader, overlap
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.registry import get_kernel
from tests.gpu.products import make_product

CPU = torch.device("cpu")
DTYPE = torch.float16


@pytest.fixture
def product(emulated):
    emulated.card = Card(0, "Emulated", "9.0", 4)
    return make_product(get_kernel("cuda.gemm_w4a16"), "W4A16_ASYM", DTYPE, 2, 40, 256, CPU)


@pytest.fixture
def multiply(product):
    packed = product.kernel.pack(product.tensors, product.spec)

    def run(packed=packed):
        return product.kernel.run(product.x, None, packed, product.bias, DTYPE)

    run.packed, run.product = packed, product
    return run


def test_the_first_launch_on_a_weight_waits_and_the_next_do_not(emulated, multiply):
    first = multiply()
    assert all(torch.equal(multiply(), first) for _ in range(2))
    assert emulated.overlapping == [False, True, True]


@pytest.mark.parametrize("which", [0, 1, 2], ids=["words", "scales", "zeros"])
def test_a_weight_that_is_written_to_is_waited_for(emulated, multiply, which):
    multiply()
    multiply.packed[which].copy_(multiply.packed[which].clone())
    multiply()
    multiply()
    assert emulated.overlapping == [False, False, True]


@pytest.mark.parametrize("which", [0, 1, 2], ids=["words", "scales", "zeros"])
def test_memory_of_another_tensor_is_waited_for(emulated, multiply, which):
    multiply()
    multiply.packed[which].data = multiply.packed[which].clone()
    multiply()
    assert emulated.overlapping == [False, False]


@pytest.mark.parametrize("which", [1, 2], ids=["scales", "zeros"])
def test_another_tensor_in_the_place_of_one_that_is_gone_is_waited_for(emulated, multiply, which):
    multiply()
    packed = list(multiply.packed)
    packed[which] = packed[which].clone()
    multiply(packed)
    assert emulated.overlapping == [False, False]


def test_each_stream_waits_once(emulated, multiply):
    """What one has waited for may lie before a write that another one has yet to reach."""
    for emulated.stream in (0, 5, 5, 0):
        multiply()
    assert emulated.overlapping == [False, False, True, True]


def test_each_thread_waits_once(emulated, multiply):
    """The name of its own stream is the same for every thread."""
    multiply()
    thread = threading.Thread(target=multiply)
    thread.start()
    thread.join()
    multiply()
    assert emulated.overlapping == [False, False, True]


def test_a_launch_that_failed_has_waited_for_nothing(emulated, multiply, monkeypatch):
    call = _products.Product._prepare(
        multiply.product.kernel.run, multiply.product.x, DTYPE, multiply.packed
    ).ready.call
    exact = call.start

    def refuse(*_):
        raise UnavailableError("no", "no")

    monkeypatch.setattr(call, "start", refuse)
    with pytest.raises(UnavailableError):
        multiply()
    monkeypatch.setattr(call, "start", exact)
    multiply()
    multiply()
    assert emulated.overlapping == [False, True]


def test_of_a_graph_all_launches_come_behind_what_was_before_it(emulated, multiply):
    multiply()
    emulated.captures, emulated.stream = True, 7
    multiply()
    emulated.captures = False
    multiply()  # On that stream, none that runs has waited.
    assert emulated.overlapping == [False, True, False]


def test_what_is_only_captured_waits_for_nothing_yet(emulated, multiply):
    emulated.captures = True
    multiply()
    multiply()
    emulated.captures = False
    multiply()
    multiply()
    assert emulated.overlapping == [False, False, False, True]


def test_a_weight_that_a_graph_writes_is_waited_for_in_it(emulated, multiply):
    multiply()
    emulated.captures = True
    multiply.packed[0].add_(0)
    multiply()
    assert emulated.overlapping == [False, False]


def test_a_copy_of_a_weight_is_waited_for(emulated, multiply):
    multiply()
    multiply(copy.deepcopy(multiply.packed))
    assert emulated.overlapping == [False, False]


def test_what_counts_no_writes_is_always_waited_for(emulated, product):
    with torch.inference_mode():
        packed = product.kernel.pack(product.tensors, product.spec)
        for _ in range(2):
            product.kernel.run(product.x, None, packed, product.bias, DTYPE)
    assert emulated.overlapping == [False, False]


def test_weights_that_are_gone_are_forgotten(emulated, multiply):
    multiply()
    known = len(_settled._seen)
    copied = copy.deepcopy(multiply.packed)
    multiply(copied)
    assert len(_settled._seen) == known + 1
    del copied
    gc.collect()
    assert len(_settled._seen) == known


def test_a_kernel_that_waits_for_nothing_is_never_overlapped(emulated):
    emulated.card = Card(0, "Emulated", "9.0", 4)
    product = make_product(get_kernel("cuda.gemv_w4a16"), "W4A16", DTYPE, 1, 40, 256, CPU)
    packed = product.kernel.pack(product.tensors, product.spec)
    for _ in range(2):
        product.kernel.run(product.x, None, packed, product.bias, DTYPE)
    assert emulated.overlapping == [False, False]


class PlantedError(RuntimeError):
    """What CuPy raises."""


@pytest.fixture
def planted(monkeypatch):
    """A launch of a kernel of ours, and what the driver was told, by which function."""
    told = []

    def launch_ex(configuration, function, arguments, extra):
        asked = configuration._obj
        wants = asked.attributes[0]
        shape = (*asked.blocks, *asked.threads, asked.shared_bytes)
        wanted = (asked.count, wants.id, wants.value[0])
        told.append((*shape, asked.stream, function.value, arguments.value, extra, *wanted))
        return launch_ex.status

    def check_status(status):
        if status:
            raise PlantedError(f"CUDA_ERROR_{status}")

    launch_ex.status = 0
    monkeypatch.setattr(
        torch._C, "_cuda_getCurrentRawStream", lambda index: 1000 + index, raising=False
    )
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    driver = SimpleNamespace(
        launchKernel=lambda *_: told.append("waits"),
        ctxGetCurrent=lambda: 9,
        CUDADriverError=PlantedError,
        check_status=check_status,
    )
    return loader._bind(driver, 77, "gemm_w4a16.cu", 256, 99, 0, launch_ex), told, launch_ex


def test_the_driver_is_told_what_a_launch_is_and_that_it_may_overlap(planted):
    launch, told, _ = planted
    launch((5, 2, 1), 4096)(1000)
    shape = (5, 2, 1, 256, 1, 1, 99)
    asked = (1, overlap.PROGRAMMATIC_STREAM_SERIALIZATION, 1)
    assert told == [(*shape, 1000, 77, 4096, None, *asked)]


def test_one_that_must_wait_goes_the_usual_way(planted):
    launch, told, *_ = planted
    launch((5, 2, 1), 4096)(None)
    assert told == ["waits"]


def test_where_the_driver_does_not_do_it_a_launch_goes_the_usual_way(planted):
    launch, told, launch_ex = planted
    launch_ex.status = overlap.NOT_SUPPORTED
    launch((1, 1, 1), 64)(1000)
    assert told[1:] == ["waits"]


def test_what_the_driver_refuses_is_told(planted):
    launch, _, launch_ex = planted
    launch_ex.status = 700
    with pytest.raises(
        UnavailableError, match=r"gemm_w4a16\.cu cannot be launched .*CUDA_ERROR_700"
    ):
        launch((1, 1, 1), 64)(1000)


def test_a_configuration_is_laid_out_as_the_driver_reads_it():
    assert ctypes.sizeof(overlap.Configuration) == 56
    assert overlap.Configuration.stream.offset == 32
    assert ctypes.sizeof(overlap.Attribute) == 72
    assert overlap.Attribute.value.offset == 8


@pytest.mark.parametrize(
    ("capability", "driver_cuda", "is_offered"),
    [
        ("9.0", (12, 3), True),
        ("12.0", (13, 0), True),
        ("8.9", (13, 0), False),
        ("9.0", (12, 2), False),
    ],
)
def test_it_is_offered_by_cards_and_drivers(monkeypatch, capability, driver_cuda, is_offered):
    monkeypatch.setattr(overlap, "_find_function", lambda: len)
    assert (overlap.find_launcher(capability, driver_cuda) is not None) == is_offered


def test_a_driver_without_the_function_goes_without(monkeypatch):
    monkeypatch.setattr(overlap, "LIBRARY", "libnone.so.1")
    overlap._find_function.cache_clear()
    assert overlap.find_launcher("9.0", (13, 0)) is None
    overlap._find_function.cache_clear()


@pytest.mark.parametrize("capability", ["9.0", "10.0", "12.0", "99.0"])
@pytest.mark.parametrize("shared_bytes", [1, 69888, 76816, 112000])
def test_a_multiprocessor_has_room_for_two_blocks_and_no_more(capability, shared_bytes):
    taken = overlap.take_room(shared_bytes, capability)
    assert taken >= shared_bytes
    of_card = arch.SHARED_BYTES_PER_SM.get(capability)
    if of_card is None:
        assert taken == shared_bytes
        return
    each = taken + arch.RESERVED_SHARED_BYTES
    assert of_card // each <= 2
    assert of_card // each == 2 or taken == shared_bytes
