"""What a cubin, an ELF file of machine code, says of its kernel: what it uses, what it takes, its instructions."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from qprobe.documents import arch

HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
SECTION = struct.Struct("<IIQQQQIIQQ")

# Attributes of the sections .nv.info, as nvdisasm names them.
MAX_THREADS, FRAME_SIZE, PARAMETER, REGISTERS = 0x05, 0x11, 0x17, 0x2F
WITH_SIZE = 4
"""The format of an attribute that is followed by its size and so many bytes."""


@dataclass(frozen=True)
class Code:
    """The kernel of a cubin."""

    entry: str
    registers: int
    frame_bytes: int
    """Local memory of a thread: spilled registers and arrays that are not in registers."""
    shared_bytes: int
    """Static shared memory."""
    max_threads: int | None
    """Of `__launch_bounds__`, or None."""
    parameters: tuple[int, ...]
    """Bytes of each parameter."""
    instructions: bytes


def read_cubin(cubin: bytes) -> Code:
    """The one kernel of a cubin; raises ValueError where there is none, or several."""
    sections = _read_sections(cubin)
    entries = [name.removeprefix(".nv.info.") for name in sections if name.startswith(".nv.info.")]
    if len(entries) != 1:
        raise ValueError(f"not one kernel but {len(entries)}: {', '.join(entries)}")
    (entry,) = entries
    common = _read_attributes(sections[".nv.info"])
    own = _read_attributes(sections[f".nv.info.{entry}"])
    shared = len(sections.get(f".nv.shared.{entry}", b""))
    reserved = arch.RESERVED_SHARED_BYTES if ".nv.shared.reserved.0" in sections and shared else 0
    parameters = sorted(_read_parameter(value) for value in own.get(PARAMETER, []))
    return Code(
        entry=entry,
        # One for each function: what is not inlined counts too.
        registers=max(struct.unpack("<II", value)[1] for value in common[REGISTERS]),
        frame_bytes=max(struct.unpack("<II", value)[1] for value in common[FRAME_SIZE]),
        shared_bytes=shared - reserved,
        max_threads=_product(own[MAX_THREADS][0]) if MAX_THREADS in own else None,
        parameters=tuple(size for _, size in parameters),
        instructions=b"".join(data for name, data in sections.items() if name.startswith(".text.")),
    )


def _read_sections(cubin: bytes) -> dict[str, bytes]:
    """Name → bytes of each section; one that holds nothing in the file is so many zeros."""
    header = HEADER.unpack_from(cubin)
    start, count, names_index = header[6], header[12], header[13]
    found = [SECTION.unpack_from(cubin, start + SECTION.size * i) for i in range(count)]
    names = cubin[found[names_index][4] :]
    without_content = 8
    return {
        names[section[0] : names.index(b"\0", section[0])].decode(): (
            bytes(section[5])
            if section[1] == without_content
            else cubin[section[4] : section[4] + section[5]]
        )
        for section in found
    }


def _read_attributes(data: bytes) -> dict[int, list[bytes]]:
    """Attribute → its values, of those that have a size."""
    found: dict[int, list[bytes]] = {}
    offset = 0
    while offset < len(data):
        form, attribute, size = struct.unpack_from("<BBH", data, offset)
        offset += 4
        if form == WITH_SIZE:
            found.setdefault(attribute, []).append(data[offset : offset + size])
            offset += size
    return found


def _read_parameter(value: bytes) -> tuple[int, int]:
    """Position and bytes of a parameter."""
    _index, position, _offset, size = struct.unpack("<IHHI", value)
    return position, size >> 18


def _product(value: bytes) -> int:
    x, y, z = struct.unpack("<III", value)
    return x * y * z
