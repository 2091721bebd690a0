"""The emulator reproduces the golden vectors of every primitive, which tests/gpu asks of a card."""

import re

import numpy as np
import pytest

from qprobe.kernels.sources import find_sources
from tests.emulator.golden import BUILDS, answer
from tests.gpu.primitives import MATRIX_BYTES, MATRIX_ROWS, SOURCES, read_golden

GOLDEN = read_golden()


WITHIN_OTHERS = {
    # What qp_act is made of is asked by its own name.
    *("qp_act_to_float", "qp_act_from_float", "qp_act2_from_floats", "qp_act2_mul"),
    *("qp_mma_act_16x8x16", "qp_wgmma_act"),
    "qp_shared_address",  # an operand of ldmatrix, of copies and of wgmma
    "qp_wgmma_wait",  # by qp_wgmma_finish
    "qp_elect",  # which lane it is nobody says; by those that copy
    "qp_is_over",  # by qp_wait
    "qp_sync_first",  # by qp_is_last_block
    *("qp_give_registers", "qp_take_registers"),  # what is computed with them does not change
    "qp_count_multiprocessors",  # as many as each card has
    *("qp_wait_for_kernel_before", "qp_let_next_kernel_begin"),  # in tests/gpu/test_overlap.py
}
"""Primitives that have no result of their own, or none but another's."""


def test_there_is_a_vector_for_every_primitive():
    assert sorted(GOLDEN) == sorted(BUILDS)
    header = (find_sources() / "prims.cuh").read_text()
    primitives = set(re.findall(r"^QP_DEVICE .*?\b(qp_\w+)\(", header, re.MULTILINE))
    assert len(primitives) > 60
    assert primitives >= WITHIN_OTHERS
    asked = set(re.findall(r"\bqp_\w+", "".join(source.read_text() for source in SOURCES)))
    assert primitives - WITHIN_OTHERS - asked == set()


@pytest.mark.parametrize("name", BUILDS)
def test_golden_vectors_are_reproduced(name):
    vector = GOLDEN[name]
    assert len(np.unique(vector.y)) > min(len(vector.y) // 16, 100), "the answer tells little"
    # The oldest architecture composes some primitives of others.
    architectures = BUILDS[name][1].architectures
    for capability in {architectures[0], architectures[-1]}:
        assert np.array_equal(answer(name, vector.x, capability), vector.y), capability


def rows_of(words, lanes_a_row, registers, dtype):
    """Registers of the lanes of fragments (rows g, columns t) as rows of elements along k."""
    parts = words.reshape(8, lanes_a_row, registers).transpose(0, 2, 1)
    return np.ascontiguousarray(parts).view(dtype).reshape(8, -1)


@pytest.mark.parametrize("name", ["mma_s8_16x8x32", "mma_f16_16x8x16"])
def test_products_are_those_of_matrices(name):
    """By the layout of fragments that the PTX ISA prescribes, written once more, in other words."""
    is_integer = name.startswith("mma_s8")
    dtype, number = (np.int8, np.int32) if is_integer else (np.float16, np.float32)
    x = GOLDEN[name].x.reshape(32, 10)
    a = np.concatenate([rows_of(x[:, [0, 2]], 4, 2, dtype), rows_of(x[:, [1, 3]], 4, 2, dtype)])
    b = rows_of(x[:, 4:6], 4, 2, dtype)
    before = np.ascontiguousarray(x[:, 6:]).view(number)
    product = a.astype(np.float64) @ b.astype(np.float64).T
    found = GOLDEN[name].y.reshape(32, 4).view(number)
    for lane in range(32):
        g, t = divmod(lane, 4)
        wanted = product[[g, g, g + 8, g + 8], [2 * t, 2 * t + 1] * 2] + before[lane]
        assert np.array_equal(found[lane], wanted)


def test_boxes_are_swizzled_rows_with_zeros_beyond_the_matrix():
    """By the pattern of 128 bytes that CUDA's guide prescribes, written once more, in other words."""
    x = GOLDEN["boxes"].x.view(np.uint8).reshape(MATRIX_ROWS, MATRIX_BYTES)
    _check_boxes(x, GOLDEN["boxes"].y.view(np.uint8).reshape(2, 40, 8, 16))


def test_boxes_for_both_blocks_are_in_both():
    x = GOLDEN["pair"].x.view(np.uint8).reshape(MATRIX_ROWS, MATRIX_BYTES)
    for boxes in GOLDEN["pair"].y.view(np.uint8).reshape(2, 2, 40, 8, 16):
        _check_boxes(x, boxes)


def test_bytes_for_both_blocks_are_in_both():
    x = GOLDEN["bulk_pair"].x.view(np.uint8)
    for found in GOLDEN["bulk_pair"].y.view(np.uint8).reshape(2, 2, 5120):
        assert np.array_equal(found[0], x[128 : 128 + 5120])
        assert np.array_equal(found[1], x[16 : 16 + 5120])


def _check_boxes(x, boxes):
    padded = np.pad(x, ((0, 64), (0, 256)))
    for box, (row, byte) in zip(boxes, ((8, 128), (0, 16)), strict=True):
        chunks = padded[row : row + 40, byte : byte + 128].reshape(40, 8, 16)
        for i in range(40):
            assert np.array_equal(box[i], chunks[i, np.arange(8) ^ i % 8])


@pytest.mark.parametrize(
    "name", ["wgmma_f16_64x64x16", "wgmma_f16_64x128x16", "wgmma_f16_64x256x16"]
)
def test_products_of_warpgroups_are_those_of_matrices(name):
    """Whether a is in shared memory or in registers, by the layout of the PTX ISA."""
    columns = int(name.split("x")[1])
    rows = GOLDEN[name].x.view(np.float16).reshape(64 + columns, 16).astype(np.float64)
    product = rows[:64] @ rows[64:].T
    found = GOLDEN[name].y.view(np.float32).reshape(128, columns // 2)
    for thread in range(128):
        warp, lane = divmod(thread, 32)
        i = np.arange(columns // 2)
        row, column = warp * 16 + lane // 4 + i % 4 // 2 * 8, i // 4 * 8 + lane % 4 * 2 + i % 2
        assert np.array_equal(found[thread], product[row, column] + i)
