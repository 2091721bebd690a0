"""Tells the copy engine of 9.0 and later of matrices in memory: encoded by the driver, 128 bytes each.

The encoding is the driver's secret, and CuPy does not offer the function: it is called in the driver's library, by the
interface that CUDA documents. It computes on the host alone.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import NamedTuple

from qprobe.errors import UnavailableError

BYTES = 128
ALIGNMENT = 64
"""Of the encoded map in the host's memory."""
MOST_BOX_ROWS = 256
BOX_BYTES = range(16, 129, 16)
"""What rows of a box may have: of swizzled ones 128 at most."""
LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"

# The driver's own numbers: elements of one byte, rows that lie one behind another, chunks of 16 bytes swizzled within
# rows of 128, memory read in pieces of 256 bytes, zeros beyond the matrix.
UINT8, NOT_INTERLEAVED, SWIZZLE_128B, PROMOTE_256B, ZEROS = 0, 0, 3, 3, 0


class Boxes(NamedTuple):
    """A matrix of bytes, row by row, and the boxes that a kernel copies of it."""

    rows: int
    row_bytes: int
    """A multiple of 16."""
    box_rows: int
    """MOST_BOX_ROWS at most."""
    box_bytes: int
    """One of BOX_BYTES."""


def find_obstacle() -> str:
    """Why no map can be encoded here; "" if the driver does it."""
    try:
        _find_encoder()
    except (OSError, AttributeError):
        return "the driver does not encode tensor maps: update it to one for CUDA 12.0 or later"
    return ""


def encode(boxes: Boxes, address: int) -> ctypes.Array[ctypes.c_char]:
    """The map of a matrix at an address of the card whose context is current, a multiple of 16.

    Raises UnavailableError where the driver refuses.
    """
    storage = ctypes.create_string_buffer(BYTES + ALIGNMENT)
    made = (ctypes.c_char * BYTES).from_buffer(storage, -ctypes.addressof(storage) % ALIGNMENT)
    status = _find_encoder()(
        made,
        UINT8,
        2,
        address,
        (ctypes.c_uint64 * 2)(boxes.row_bytes, boxes.rows),
        (ctypes.c_uint64 * 1)(boxes.row_bytes),
        (ctypes.c_uint32 * 2)(boxes.box_bytes, boxes.box_rows),
        (ctypes.c_uint32 * 2)(1, 1),
        NOT_INTERLEAVED,
        SWIZZLE_128B,
        PROMOTE_256B,
        ZEROS,
    )
    if status:
        raise UnavailableError(
            f"the driver encodes no tensor map (error {status}) of {boxes.rows} rows of {boxes.row_bytes} bytes "
            f"at {address:#x}, in boxes of {boxes.box_rows} × {boxes.box_bytes}",
            "update the driver; until then a plan without the kernels that take such maps avoids it",
        )
    return made


@functools.cache
def _find_encoder() -> ctypes._NamedFuncPointer:
    """`cuTensorMapEncodeTiled` of the driver. Raises OSError without a driver, AttributeError of an older one."""
    encoder = ctypes.CDLL(LIBRARY).cuTensorMapEncodeTiled
    number = ctypes.c_int
    encoder.argtypes = [
        ctypes.c_void_p, number, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,
        ctypes.c_void_p, ctypes.c_void_p, number, number, number, number,
    ]  # fmt: skip
    encoder.restype = number
    return encoder
