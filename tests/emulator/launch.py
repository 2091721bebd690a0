"""Runs a kernel on the processor: `run(path, variant, activation, arguments)`, arrays in and out."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from qprobe.kernels.cuda.arguments import ARGUMENTS, addresses, pack_arguments
from qprobe.kernels.cuda.builds import Build, builds
from qprobe.kernels.cuda.grid import count_blocks
from qprobe.kernels.cuda.manifest import Manifest, read_manifest
from tests.emulator.build import SANITIZED, EmulatorError, load_engine, load_kernel
from tests.emulator.maps import encode

SCHEDULES = ("in_turn", "eager", "reversed", "random", "ahead")
"""Orders of threads and blocks, each bad in its own way: see engine.cpp."""
ALIGNMENT = 256
"""Of device memory, as every allocator gives it."""
BORDER = b"\xcb" * 2**18
"""Wide enough that what is written a tile beyond the end spoils nothing else."""
LIMIT_S = 60
AT_ONCE = 3
"""So few that a block takes several tiles."""
SETTLED = ("packed", "scales", "zeros")
"""What is there when a launch begins that overlaps the kernel before."""
WRITTEN = ("y", "scratch", "counters")

_libc = ctypes.CDLL(None)
_libc.free.argtypes = [ctypes.c_void_p]
_libc.posix_memalign.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]


class Memory:
    """A copy of an array as device memory, which says whether its borders were written to."""

    def __init__(self, name: str, array: np.ndarray):
        self.name, self.array = name, array
        # Under the address sanitizer its own borders begin with the first byte beyond.
        border = 0 if SANITIZED else len(BORDER)
        block = ctypes.c_void_p()
        if _libc.posix_memalign(ctypes.byref(block), ALIGNMENT, max(array.nbytes + 2 * border, 1)):
            raise MemoryError(f"no {array.nbytes} bytes for {name}")
        self.block, self.border = block, border
        self.address = block.value + border
        ctypes.memmove(self.address, np.ascontiguousarray(array).ctypes.data, array.nbytes)
        if border:
            ctypes.memmove(block.value, BORDER, border)
            ctypes.memmove(self.address + array.nbytes, BORDER, border)

    def take_back(self) -> None:
        """Write what is there now to the array, and let go of the memory."""
        size = self.array.nbytes
        content = ctypes.string_at(self.address, size)
        around = (
            ctypes.string_at(self.block.value, self.border),
            ctypes.string_at(self.address + size, self.border),
        )
        self.free()
        if any(part != BORDER[: self.border] for part in around):
            raise EmulatorError(f"it writes before or behind {self.name}")
        if self.array.flags.writeable:
            found = np.frombuffer(content, self.array.dtype).reshape(self.array.shape)
            self.array[...] = found

    def free(self) -> None:
        """Let go of the memory."""
        _libc.free(self.block)


def find_build(manifest: Manifest, variant: str, activation: str | None) -> Build:
    """The build of that variant ("" where there are none) for that type of activations."""
    for build in builds(manifest):
        if (build.variant, build.activation) == (variant, activation):
            return build
    known = [(build.variant, build.activation) for build in builds(manifest)]
    raise EmulatorError(f"{manifest.entry} has no {(variant, activation)}; it has {known}")


def run(
    kernel: Path,
    variant: str,
    activation: str | None,
    arguments: Mapping[str, np.ndarray | int | None],
    grid: tuple[int, int, int] | None = None,
    *,
    capability: str = "",
    schedule: str = "eager",
    seed: int = 0,
    limit_s: int = LIMIT_S,
    at_once: int = AT_ONCE,
) -> int:
    """Launch a kernel; arrays that it writes to are changed in place.

    Args:
        kernel: a `.cu` with its manifest.
        variant: of the manifest's variants, or "".
        activation: of the manifest's activations, or None where it has none.
        arguments: by name; arrays become addresses. They are copied, so that one cannot be another.
        grid: blocks along x, y and z; else what the manifest's tile makes of m, n and split.
        capability: the architecture that it is compiled as; else the newest of the manifest.
        schedule: one of SCHEDULES.
        seed: of the random schedule.
        limit_s: time of processor after which it is stopped.
        at_once: blocks that the card holds, of kernels whose blocks take one tile after another.

    Returns:
        How often rows of ldmatrix had to wait for one another, being in the same banks of shared memory.

    Raises EmulatorError where the kernel does what it must not.
    """
    manifest = read_manifest(kernel)
    build = find_build(manifest, variant, activation)
    counts = {name: value for name, value in arguments.items() if isinstance(value, int)}
    if grid is None:
        named = {name: counts.get(name, 1) for name in ("m", "n", "split")}
        more = {"at_once": at_once, "cluster": build.cluster}
        grid = count_blocks(build.tile, manifest.grid, **named, **more)
    call = load_kernel(kernel, build, capability or default_capability(build))
    memory = {
        name: Memory(name, value)
        for name, value in arguments.items()
        if isinstance(value, np.ndarray)
    }
    values = {name: arguments[name] for name in arguments if name not in memory}
    values |= {name: each.address for name, each in memory.items()}
    item_bytes = manifest.item_bytes(activation)
    for name in manifest.arguments:
        if (matrix := ARGUMENTS[name].matrix) and matrix in values:
            values[name] = encode(build.boxes(name, counts, item_bytes), values[matrix])
    for matrix in {ARGUMENTS[name].matrix for name in manifest.arguments} - {*manifest.arguments}:
        values.pop(matrix, None)
    packed = pack_arguments(manifest.arguments, values)
    words = ctypes.create_string_buffer(600)
    if manifest.overlaps:
        for name, each in memory.items():
            if name not in SETTLED:
                load_engine().qp_emulator_late(
                    ctypes.c_void_p(each.address),
                    ctypes.c_size_t(each.array.nbytes),
                    name in WRITTEN,
                )
    failed = load_engine().qp_emulator_launch(
        call,
        (ctypes.c_uint * 3)(*grid),
        (ctypes.c_uint * 3)(build.threads, 1, 1),
        ctypes.c_uint(build.cluster),
        ctypes.c_size_t(build.shared_bytes),
        schedule.encode(),
        ctypes.c_uint(seed),
        ctypes.c_uint(limit_s),
        addresses(packed),
        words,
        ctypes.c_size_t(len(words)),
    )
    if failed:
        for each in memory.values():
            each.free()
        raise EmulatorError(f"{manifest.entry}, {schedule}: {words.value.decode()}")
    for each in memory.values():
        each.take_back()
    return load_engine().qp_emulator_bank_conflicts()


def default_capability(build: Build) -> str:
    """The newest architecture that a build is for."""
    return max(build.architectures, key=lambda c: tuple(map(int, c.rstrip("af").split("."))))
