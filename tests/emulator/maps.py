"""Tensor maps as the emulator reads them: see boxes.cpp."""

from __future__ import annotations

import ctypes

from qprobe.kernels.cuda.arguments import TensorMap
from qprobe.kernels.cuda.tensor_maps import BYTES, Boxes


class EmulatedMap(ctypes.Structure):
    """The fields of a map, at the start of its bytes."""

    _fields_ = [
        ("mark", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("rows", ctypes.c_uint64),
        ("row_bytes", ctypes.c_uint64),
        ("box_rows", ctypes.c_uint32),
        ("box_bytes", ctypes.c_uint32),
    ]


MARK = 0x50414D52534E4554


def encode(boxes: Boxes, address: int) -> TensorMap:
    """The map of a matrix; refuses what the driver of a card would."""
    assert address % 16 == 0, "the driver takes no address that is not a multiple of 16"
    assert boxes.row_bytes % 16 == 0, "the driver takes no rows that are not a multiple of 16 bytes"
    assert 1 <= boxes.box_rows <= 256
    assert 16 <= boxes.box_bytes <= 128
    made = (ctypes.c_char * BYTES)()
    fields = EmulatedMap(MARK, address, *boxes)
    ctypes.memmove(made, ctypes.byref(fields), ctypes.sizeof(fields))
    return made
