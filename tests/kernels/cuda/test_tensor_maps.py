"""The driver is asked for a tensor map as its interface says, and its refusal is told."""

import ctypes
import struct
import subprocess

import pytest

from qprobe.errors import UnavailableError
from qprobe.kernels.cuda import loader, tensor_maps
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.cuda.tensor_maps import Boxes, encode, find_obstacle
from tests.emulator.build import find_compiler

# By the prototype of cuda.h: what it is called with is written into the map.
DRIVER = """
#include <cstdint>
#include <cstring>
extern "C" int cuTensorMapEncodeTiled(void* map, int type, uint32_t rank, void* address, const uint64_t* sizes,
                                      const uint64_t* strides, const uint32_t* box, const uint32_t* steps, int interleave,
                                      int swizzle, int promotion, int fill) {
  if (reinterpret_cast<uintptr_t>(address) % 16) return 1;
  if (reinterpret_cast<uintptr_t>(map) % 64) return 999;
  const uint64_t said[] = {reinterpret_cast<uintptr_t>(address), sizes[0], sizes[1], strides[0], box[0], box[1], steps[0],
                           steps[1], uint64_t(type), rank, uint64_t(interleave), uint64_t(swizzle), uint64_t(promotion),
                           uint64_t(fill), 0, 0};
  std::memcpy(map, said, sizeof said);
  return 0;
}
"""
BOXES = Boxes(rows=2**31, row_bytes=2**33, box_rows=256, box_bytes=128)


@pytest.fixture
def use(monkeypatch, tmp_path):
    """Makes a library the driver."""

    def use(source):
        (tmp_path / "driver.cpp").write_text(source)
        library = str(tmp_path / "driver.so")
        command = [find_compiler(), "-shared", "-fPIC", str(tmp_path / "driver.cpp"), "-o", library]
        subprocess.run(command, check=True)
        monkeypatch.setattr(tensor_maps, "LIBRARY", library)
        tensor_maps._find_encoder.cache_clear()

    yield use
    tensor_maps._find_encoder.cache_clear()


def test_the_driver_is_told_of_the_matrix_and_of_its_boxes(use):
    use(DRIVER)
    assert find_obstacle() == ""
    made = encode(BOXES, 2**40 + 16)
    assert ctypes.sizeof(made) == 128
    # Elements of a byte in two dimensions, the inner one first; not interleaved, swizzled by 128 bytes, read by 256.
    wanted = (2**40 + 16, 2**33, 2**31, 2**33, 128, 256, 1, 1, 0, 2, 0, 3, 3, 0)
    assert struct.unpack("<14Q", bytes(made)[: 14 * 8]) == wanted


def test_a_refusal_says_what_was_asked(use):
    use(DRIVER)
    with pytest.raises(
        UnavailableError, match=r"error 1\) of 2147483648 rows .* at 0x1001, in boxes of 256 × 128"
    ):
        encode(BOXES, 0x1001)


@pytest.mark.parametrize("source", [None, 'extern "C" int cuInit(unsigned) { return 0; }'])
def test_an_old_driver_and_none_are_told_before_a_kernel_is_built(use, monkeypatch, source):
    if source is None:
        monkeypatch.setattr(tensor_maps, "LIBRARY", "libnothing.so.1")
        tensor_maps._find_encoder.cache_clear()
    else:
        use(source)
    card = Card(0, "NVIDIA H100", "9.0", 132)
    words = loader.CupyDriver().find_build_obstacle(card, ("wgmma", "cp_async_bulk"))
    assert "does not encode tensor maps: update it to one for CUDA 12.0 or later" in words
