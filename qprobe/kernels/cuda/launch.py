"""From tensors and counts to a launch: arguments by name, the grid, and the card."""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Mapping

import torch
from torch import Tensor

from qprobe.kernels.cuda import driver
from qprobe.kernels.cuda.arguments import ARGUMENTS, Packed, addresses, pack_arguments
from qprobe.kernels.cuda.grid import count_blocks
from qprobe.kernels.cuda.portfolio import Source, all_sources

ANYWHERE = 16
"""Stands for an address where only the counts matter yet."""
SHAPES = 4096
"""Launches that are kept prepared: as many shapes of x as a server sees."""


def launch(
    source: Source,
    build: str,
    device: torch.device,
    tensors: Mapping[str, Tensor | None],
    **counts: int,
) -> None:
    """Run a build of a kernel on the device's current stream.

    `tensors` are the arguments that are addresses, by name; `counts` the others. Neither allocates
    nor synchronizes once the build is on the device.
    """
    call = _prepare(
        source.name, build, device.index or 0, threading.get_ident(), tuple(counts.items())
    )
    call.run(tensors)


class _Call:
    """A launch for one shape: everything but the addresses. Of one thread, which fills them in."""

    __slots__ = ("_address", "_blocks", "_launch", "_packed", "_slots", "_table")

    def __init__(self, source: Source, build_name: str, index: int, counts: dict[str, int]) -> None:
        manifest, build = source.manifest, source.builds[build_name]
        pointers = [name for name in manifest.arguments if ARGUMENTS[name].kind == "pointer"]
        values: dict[str, int | None] = {
            **dict.fromkeys(pointers, ANYWHERE),
            **{name: counts[name] for name in manifest.arguments if name in counts},
        }
        self._packed = pack_arguments(manifest.arguments, values)
        self._table = addresses(self._packed)
        self._address = ctypes.addressof(self._table)
        self._slots: dict[str, Packed] = {
            name: slot
            for name, slot in zip(manifest.arguments, self._packed, strict=True)
            if name in pointers
        }
        sizes = {axis: counts[axis] for axis in ("m", "n", "split") if axis in counts}
        self._blocks = count_blocks(build.tile, manifest.grid, **sizes)
        self._launch = driver.current().load(source, build_name, index)

    def run(self, tensors: Mapping[str, Tensor | None]) -> None:
        """Launch on these tensors; the optional ones may be missing."""
        for name, slot in self._slots.items():
            tensor = tensors.get(name)
            if tensor is None and not ARGUMENTS[name].optional:
                raise TypeError(f"the kernel needs {name}")
            slot.value = None if tensor is None else tensor.data_ptr()
        self._launch(self._blocks, self._address)


@functools.lru_cache(maxsize=SHAPES)
def _prepare(
    kernel: str, build: str, index: int, _thread: int, counts: tuple[tuple[str, int], ...]
) -> _Call:
    return _Call(all_sources()[kernel], build, index, dict(counts))


def forget() -> None:
    """Drop everything that was prepared: the cards are others now."""
    _prepare.cache_clear()
