"""Loading and launching on a planted driver that is as strict as NVIDIA's."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch

from qprobe.errors import UnavailableError
from qprobe.kernels.cuda import loader
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.cuda.portfolio import all_sources
from qprobe.kernels.cuda.tensor_maps import Boxes
from tests.kernels.cuda.planted_cupy import STREAM, CUDADriverError, PlantedCupy

SMALL = "m32n64, float16"
"""A build whose dynamic shared memory is 48 KiB, and which has a word of static shared memory besides."""
CASES = [("copy", ""), ("gemm_s8_mma", SMALL), ("gemm_s8_mma", "m128n256, float16")]


@pytest.fixture
def cupy(monkeypatch, tmp_path):
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path))
    planted = PlantedCupy()
    planted.plant(monkeypatch)
    planted.touch()
    yield planted
    loader._load.cache_clear()
    loader._driver_cuda.cache_clear()


def load(name, build, index=0):
    return loader._load(all_sources()[name], build, index)


@pytest.mark.parametrize(("name", "build"), CASES)
def test_a_kernel_is_given_the_shared_memory_that_it_takes(cupy, name, build):
    load(name, build)((1, 1, 1), 64)(None)
    assert cupy.launched == [(name, cupy.context_of(0), STREAM)]


@pytest.mark.parametrize("name", ["gemm_s8_wgmma", "gemm_s8_wgmma_tma"])
@pytest.mark.parametrize("variant", ["m128n256", "m128n128"])
def test_a_hopper_kernel_is_given_the_shared_memory_that_it_takes(cupy, name, variant):
    cupy.cards = (Card(0, "Planted", "9.0", 4),)
    load(name, f"{variant}, float16")((1, 1, 1), 64)(None)
    assert cupy.launched == [(name, cupy.context_of(0), STREAM)]


def test_the_shared_memory_of_the_smallest_int8_product_is_the_telling_case():
    assert all_sources()["gemm_s8_mma"].builds[SMALL].shared_bytes == 48 * 1024


def in_a_thread(work):
    """What is done in a new thread; raises what it raises."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


@pytest.fixture
def two_cards(cupy):
    cupy.cards = (*cupy.cards, Card(1, "Planted", "8.0", 4))
    return cupy


@pytest.mark.parametrize("index", [0, 1])
def test_a_new_thread_launches_what_another_has_loaded(two_cards, index):
    launch = load("copy", "", index)
    for _ in range(2):
        in_a_thread(lambda: launch((1, 1, 1), 64)(None))
    launch((1, 1, 1), 64)(None)
    assert two_cards.launched == [("copy", two_cards.context_of(index), STREAM + index)] * 3


def test_a_new_thread_loads_for_all(cupy):
    launch = in_a_thread(lambda: load("copy", ""))
    launch((1, 1, 1), 64)(None)
    assert cupy.launched == [("copy", cupy.context_of(0), STREAM)]


@pytest.mark.parametrize("index", [0, 1])
def test_a_new_thread_encodes_a_tensor_map_for_its_card_once(two_cards, monkeypatch, index):
    seen = []

    def encode(boxes, address):
        seen.append((boxes, address, two_cards.current_context()))
        return len(seen)

    monkeypatch.setattr(loader.tensor_maps, "encode", encode)
    loader._encode.cache_clear()
    boxes, driver = Boxes(8, 64, 128, 128), loader.CupyDriver()
    made = [in_a_thread(partial(driver.encode, boxes, a, index)) for a in (64, 128, 64)]
    loader._encode.cache_clear()
    assert made == [1, 2, 1]
    assert seen == [(boxes, address, two_cards.context_of(index)) for address in (64, 128)]
    assert two_cards.index == 0


@pytest.mark.parametrize("index", [0, 1])
def test_the_card_that_was_current_is_current_again(two_cards, index):
    launch = load("copy", "", index)
    assert two_cards.index == 0
    launch((1, 1, 1), 64)(None)
    assert (two_cards.index, two_cards.current_context()) == (0, two_cards.context_of(0))


def test_a_module_that_does_not_load_is_named_and_compiled_anew(cupy, tmp_path, monkeypatch):
    def refuse(_image):
        raise CUDADriverError("CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image is available")

    def list_kept():
        return list((tmp_path / "cubins").glob("*.cubin"))

    load_module = cupy.cuda.driver.moduleLoadData
    monkeypatch.setattr(cupy.cuda.driver, "moduleLoadData", refuse)
    with pytest.raises(
        UnavailableError,
        match=r"copy\.cu, built for sm_80 by NVRTC 13.* cannot be loaded on Planted: CUDA_ERROR_NO_B",
    ) as seen:
        load("copy", "")
    assert "compiled anew" in seen.value.hint
    assert list_kept() == []
    monkeypatch.setattr(cupy.cuda.driver, "moduleLoadData", load_module)
    load("copy", "")((1, 1, 1), 64)(None)
    assert len(list_kept()) == 1


def test_a_card_without_memory_for_a_module_is_no_fault_of_it(cupy, tmp_path, monkeypatch):
    emptied = []

    def refuse(_image):
        raise CUDADriverError("CUDA_ERROR_OUT_OF_MEMORY: out of memory")

    load_module = cupy.cuda.driver.moduleLoadData
    monkeypatch.setattr(cupy.cuda.driver, "moduleLoadData", refuse)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))
    with pytest.raises(
        UnavailableError, match="cannot be loaded on Planted: CUDA_ERROR_OUT"
    ) as seen:
        load("copy", "")
    assert isinstance(seen.value.__cause__, torch.OutOfMemoryError)
    assert len(list((tmp_path / "cubins").glob("*.cubin"))) == 1, "what was compiled stays"
    assert emptied == [1], "of what torch keeps and does not use there is none left"

    def free():
        monkeypatch.setattr(cupy.cuda.driver, "moduleLoadData", load_module)

    monkeypatch.setattr(torch.cuda, "empty_cache", free)
    load("copy", "")((1, 1, 1), 64)(None)


def test_a_launch_that_fails_says_which_and_how(cupy):
    launch = load("gemm_s8_mma", SMALL)
    cupy.functions[-1].dynamic_bytes = 0
    with pytest.raises(
        UnavailableError,
        match=r"gemm_s8_mma\.cu \(m32n64, float16\) on Planted cannot be launched with 5 × 6 × 7 blocks"
        r" of 128 threads and 49152 bytes of shared memory: CUDA_ERROR_INVALID_VALUE",
    ):
        launch((5, 6, 7), 64)(None)
