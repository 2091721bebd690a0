"""Launches that may begin before the kernel before them in their stream has ended: programmatic dependent launch.

On 9.0 and later such a kernel takes multiprocessors as they become free, and brings what was in memory before, the
weights, while the kernel before still ends. CuPy does not offer the function: it is called in the driver's library, by
the interface that CUDA documents.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

from qprobe.documents import arch
from qprobe.kernels.cuda.tensor_maps import LIBRARY

FEATURE = "griddepcontrol"
FIRST_CUDA = (12, 3)
"""Of the driver: from then on CUDA graphs keep such launches as they are."""
PROGRAMMATIC_STREAM_SERIALIZATION = 6
"""CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION, in the driver's own numbers."""

NOT_SUPPORTED = 801
"""CUDA_ERROR_NOT_SUPPORTED: the launch is made the ordinary way."""
MOST_BLOCKS = 2
"""On a multiprocessor, of the kernels that overlap: what their grids are made for."""
ALIGNMENT = 16

LaunchEx = Callable[[Any, ctypes.c_void_p, ctypes.c_void_p, None], int]
"""A reference to a configuration, a function, its arguments and nothing more → the driver's status."""


class Attribute(ctypes.Structure):
    """CUlaunchAttribute: what is asked for, and a value in 64 bytes."""

    _fields_ = (
        ("id", ctypes.c_uint),
        ("pad", ctypes.c_char * 4),
        ("value", ctypes.c_int * 16),
    )


class Configuration(ctypes.Structure):
    """CUlaunchConfig: of one shape and one thread of the host; the stream is set anew at each launch."""

    _fields_ = (
        ("blocks", ctypes.c_uint * 3),
        ("threads", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(Attribute)),
        ("count", ctypes.c_uint),
    )


ASKED = Attribute(id=PROGRAMMATIC_STREAM_SERIALIZATION, value=(ctypes.c_int * 16)(1))


def configure(blocks: tuple[int, int, int], threads: int, shared_bytes: int) -> Configuration:
    """A configuration that asks for it."""
    return Configuration(
        blocks=blocks,
        threads=(threads, 1, 1),
        shared_bytes=shared_bytes,
        attributes=ctypes.pointer(ASKED),
        count=1,
    )


def take_room(shared_bytes: int, capability: str) -> int:
    """So much shared memory for each block that a multiprocessor has room for MOST_BLOCKS and no more.

    Else blocks of the next kernel come to lie beside those of this one, unevenly: some multiprocessors would have more
    of them to do than others, which took a third longer on an H200.
    """
    of_card = arch.SHARED_BYTES_PER_SM.get(capability, 0)
    too_few = of_card // (MOST_BLOCKS + 1) - arch.RESERVED_SHARED_BYTES
    return max(shared_bytes, (too_few // ALIGNMENT + 1) * ALIGNMENT) if of_card else shared_bytes


def can_overlap(capability: str) -> bool:
    """Whether a card of that compute capability begins a kernel before the one before has ended."""
    return not arch.missing((FEATURE,), capability)


def find_launcher(capability: str, driver_cuda: tuple[int, int]) -> LaunchEx | None:
    """`cuLaunchKernelEx` of the driver; None where the card or the driver does not offer what it is for."""
    return _find_function() if can_overlap(capability) and driver_cuda >= FIRST_CUDA else None


@functools.cache
def _find_function() -> LaunchEx | None:
    try:
        function = ctypes.CDLL(LIBRARY).cuLaunchKernelEx
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_int
    return function
