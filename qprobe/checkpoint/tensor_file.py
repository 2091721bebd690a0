"""Reads the header of one safetensors file, trusting nothing in it."""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from qprobe.checkpoint.json_object import MAX_JSON_BYTES, parse_json_object
from qprobe.documents.base import DTYPE_BYTES, Dtype
from qprobe.errors import InputError

LENGTH_BYTES = 8
MAX_ELEMENTS = 2**60
SAMPLE_BYTES = 1024

DTYPES: dict[str, Dtype] = {
    "F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "I8": "int8", "U8": "uint8",
    "I16": "int16", "U16": "uint16", "I32": "int32", "U32": "uint32", "I64": "int64",
    "U64": "uint64", "BOOL": "bool",
}  # fmt: skip
"""safetensors' name of a type → ours, which is torch's."""

_AGAIN = "download or copy the file again"
_CONVERT = "save the checkpoint again with a current safetensors"


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """Where one tensor lies: `nbytes` bytes from `offset`, counted from the start of `file`."""

    dtype: Dtype
    shape: tuple[int, ...]
    file: Path
    offset: int
    nbytes: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def read_tensor_file(path: Path) -> dict[str, TensorHeader]:
    """Read the header of a safetensors file: tensor name → where and what it is.

    Reads no more than the header, and that only after its length was found plausible.
    Raises InputError naming the file, the tensor, and what is wrong.
    """
    try:
        # O_NONBLOCK: opening a pipe must not wait for somebody to write into it.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{path} is not a regular file", "give a safetensors file")
            header = _read_header(file, path, status.st_size)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", "check the path") from error
    start = LENGTH_BYTES + len(header)
    if not header.startswith(b"{"):
        raise InputError(f"{path} is not a safetensors file: its header is no object", _CONVERT)
    entries = parse_json_object(header, f"the header of {path}")
    _check_metadata(entries.pop("__metadata__", {}), path)
    tensors = {name: _tensor(name, entry, path, start) for name, entry in entries.items()}
    _check_layout(tensors, path, start, status.st_size)
    return tensors


def read_samples(tensor: TensorHeader) -> bytes:
    """The first, the middle and the last KiB of a tensor's data; raises InputError as reading does."""
    spare = max(0, tensor.nbytes - SAMPLE_BYTES)
    samples = []
    try:
        with tensor.file.open("rb", buffering=0) as file:
            for place in (0, spare // 2, spare):
                file.seek(tensor.offset + place)
                samples.append(file.read(min(SAMPLE_BYTES, tensor.nbytes)))
            return b"".join(samples)
    except OSError as error:
        raise InputError(
            f"cannot read {tensor.file}: {error.strerror}", "check the path"
        ) from error


def _read_header(file: BinaryIO, path: Path, size: int) -> bytes:
    first = file.read(LENGTH_BYTES)
    if len(first) < LENGTH_BYTES:
        raise InputError(
            f"{path} is cut short: {size} bytes do not even hold the length of a header", _AGAIN
        )
    length = int.from_bytes(first, "little")
    if length > MAX_JSON_BYTES:
        raise InputError(
            f"{path} is not a safetensors file: its header would have {length} bytes, "
            f"the limit is {MAX_JSON_BYTES}",
            _AGAIN,
        )
    # Reading would allocate the announced length, whatever the file has.
    if length > size - LENGTH_BYTES:
        raise InputError(
            f"{path} is cut short in its header: {length} bytes announced, "
            f"{size - LENGTH_BYTES} there",
            _AGAIN,
        )
    return file.read(length)


def _check_metadata(metadata: object, path: Path) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise InputError(f"{path}: __metadata__ is not an object of strings", _CONVERT)


def _tensor(name: str, entry: object, path: Path, start: int) -> TensorHeader:
    where = f"{path}: tensor {name!r:.120}"
    if not isinstance(entry, dict):
        raise InputError(f"{where} is described by {entry!r:.40}, not by an object", _CONVERT)
    dtype = entry.get("dtype")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise InputError(
            f"{where} has the unknown dtype {dtype!r:.40}; known are {', '.join(DTYPES)}", _CONVERT
        )
    shape = _shape(entry.get("shape"), where)
    begin, end = _offsets(entry.get("data_offsets"), where)
    needed = math.prod(shape) * DTYPE_BYTES[DTYPES[dtype]]
    if end - begin != needed:
        raise InputError(
            f"{where} of shape {list(shape)!s:.100} and dtype {dtype} needs {needed} bytes, "
            f"its data_offsets span {end - begin}",
            _CONVERT,
        )
    return TensorHeader(DTYPES[dtype], shape, path, start + begin, needed)


def _shape(shape: object, where: str) -> tuple[int, ...]:
    if not isinstance(shape, list) or not all(type(d) is int and d >= 0 for d in shape):
        raise InputError(f"{where} has the shape {shape!r:.100}, not sizes from 0 up", _CONVERT)
    elements = 1
    for size in shape:
        elements *= max(size, 1)
        if elements > MAX_ELEMENTS:
            raise InputError(f"{where} has an absurd shape: {shape!s:.100}", _CONVERT)
    return tuple(shape)


def _offsets(offsets: object, where: str) -> tuple[int, int]:
    if (
        not isinstance(offsets, list)
        or len(offsets) != 2
        or not all(type(o) is int for o in offsets)
    ):
        raise InputError(f"{where} has data_offsets {offsets!r:.60}, not [begin, end]", _CONVERT)
    begin, end = offsets
    if not 0 <= begin <= end:
        raise InputError(
            f"{where} has data_offsets {offsets!r:.60}: negative or reversed", _CONVERT
        )
    return begin, end


def _check_layout(tensors: dict[str, TensorHeader], path: Path, start: int, size: int) -> None:
    """The data must be tiled by the tensors, from its first to its last byte."""
    position = start
    for name, tensor in sorted(tensors.items(), key=lambda t: (t[1].offset, t[1].nbytes)):
        if tensor.offset != position:
            fault = "overlaps the one before" if tensor.offset < position else "follows a gap"
            raise InputError(
                f"{path}: tensor {name!r:.120} {fault}: it begins at byte {tensor.offset - start} "
                f"of the data, expected {position - start}",
                _CONVERT,
            )
        position += tensor.nbytes
    if position > size:
        raise InputError(
            f"{path} is cut short in its data: its header describes {position} bytes, "
            f"the file has {size}",
            _AGAIN,
        )
    if position < size:
        raise InputError(
            f"{path} has {size - position} bytes beyond the {position} that its header describes",
            _AGAIN,
        )
