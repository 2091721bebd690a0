"""What CUDA kernels take: names with one meaning everywhere, packed the same for a card and for the emulator."""

from __future__ import annotations

import ctypes
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from qprobe.errors import InputError

INT32_MAX = 2**31 - 1


@dataclass(frozen=True)
class Argument:
    """A parameter of a kernel: an address of 8 bytes, an integer of 4, or a tensor map of 128."""

    kind: Literal["pointer", "int32", "tensor_map"]
    meaning: str
    optional: bool = False
    """Whether the address may be null."""
    matrix: str = ""
    """Of a tensor map: the pointer argument that it stands for."""
    axis: Literal["m", "n", ""] = ""
    """Of a tensor map: what the rows of the matrix count."""


def _pointer(meaning: str, *, optional: bool = False) -> Argument:
    return Argument("pointer", meaning, optional)


def _tensor_map(meaning: str, matrix: str, axis: Literal["m", "n"]) -> Argument:
    return Argument("tensor_map", meaning, matrix=matrix, axis=axis)


ARGUMENTS: dict[str, Argument] = {
    "x": _pointer("activations, or their codes, (M, K)"),
    "x_scale": _pointer("float32 scale of each row of x, (M,)", optional=True),
    "packed": _pointer("weights, in the order of the packing"),
    "scales": _pointer("scales of the weights, in the order of the packing", optional=True),
    "zeros": _pointer("zero points of the weights, in the order of the packing", optional=True),
    "bias": _pointer("(N,), in the type of y", optional=True),
    "y": _pointer("the result, (M, N)"),
    "y_scale": _pointer("float32 scale of each row of y, (M,), written"),
    "scratch": _pointer("memory for partial sums", optional=True),
    "counters": _pointer("int32, zero before the first launch and after each", optional=True),
    "x_map": _tensor_map("x, in boxes of `tile.m` × `tile.k`", "x", "m"),
    "packed_map": _tensor_map("the weights, in boxes of `tile.n` × `tile.k`", "packed", "n"),
    "m": Argument("int32", "rows of x"),
    "n": Argument("int32", "output features; what a probe counts"),
    "k": Argument("int32", "input features"),
    "group": Argument("int32", "weights along K that share a scale"),
    "split": Argument("int32", "parts of K that are summed apart"),
    "iterations": Argument("int32", "how often a probe does the same"),
}
"""The vocabulary, by name."""

TensorMap = ctypes.Array[ctypes.c_char]
Packed = ctypes.c_void_p | ctypes.c_int32 | TensorMap
Value = int | TensorMap | None


def pack_arguments(names: Sequence[str], values: Mapping[str, Value]) -> list[Packed]:
    """The values as a kernel takes them, in the order of `names`: addresses, counts and tensor maps by name.

    Raises InputError for a value that is missing, too much, null where it may not be, or beyond its bits.
    """
    _refuse_unknown(names, values)
    return [_pack(name, values[name]) for name in names]


def addresses(packed: Sequence[Packed]) -> ctypes.Array[ctypes.c_void_p]:
    """The `void**` that a launch takes; it holds addresses into `packed`, which must outlive it."""
    return (ctypes.c_void_p * len(packed))(*(ctypes.addressof(value) for value in packed))


def _refuse_unknown(names: Sequence[str], values: Mapping[str, Value]) -> None:
    if lacking := [name for name in names if name not in values]:
        raise InputError(f"the kernel takes {', '.join(lacking)}, which was not given")
    for name in values:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"the kernel takes {', '.join(names)}, and no {name}{meant}")


def _pack(name: str, value: Value) -> Packed:
    argument = ARGUMENTS[name]
    if argument.kind == "tensor_map" and isinstance(value, ctypes.Array):
        return value
    if value is None and argument.optional:
        return ctypes.c_void_p(None)
    if isinstance(value, bool) or not isinstance(value, int) or argument.kind == "tensor_map":
        raise InputError(f"{name} is {value!r}, not {_EXPECTED[argument.kind]}")
    if argument.kind == "pointer":
        if not (0 < value < 2**64 or (value == 0 and argument.optional)):
            raise InputError(f"{name} is the address {value:#x}, where there must be something")
        return ctypes.c_void_p(value)
    if not 0 <= value <= INT32_MAX:
        raise InputError(f"{name} = {value} does not fit: kernels count from 0 to {INT32_MAX}")
    return ctypes.c_int32(value)


_EXPECTED = {"pointer": "an address", "int32": "an integer", "tensor_map": "a tensor map"}
