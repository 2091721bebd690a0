"""From tensors and counts to a launch: arguments by name, the grid, and the card."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from qprobe.kernels.cuda import driver
from qprobe.kernels.cuda.arguments import ARGUMENTS, addresses, pack_arguments
from qprobe.kernels.cuda.grid import count_blocks
from qprobe.kernels.cuda.portfolio import Source

ANYWHERE = 16
"""Stands for an address where only the counts matter yet."""


class Call:
    """A build of a kernel made ready for one shape: everything but the addresses.

    Running it neither allocates nor synchronizes. One thread at a time may run it.
    """

    __slots__ = ("_address", "_blocks", "_given", "_launch", "_slots", "_values")

    def __init__(
        self,
        source: Source,
        build_name: str,
        index: int,
        counts: Mapping[str, int],
        tensors: Sequence[str],
    ) -> None:
        """Load the build on the card and check the counts.

        `tensors` names what `run` will be given, in that order; what the kernel does not take is
        left out.
        """
        manifest, build = source.manifest, source.builds[build_name]
        names = manifest.arguments
        pointers = [name for name in names if ARGUMENTS[name].kind == "pointer"]
        values: dict[str, int | None] = dict.fromkeys(pointers, ANYWHERE)
        values |= {name: counts[name] for name in names if name in counts}
        packed = pack_arguments(names, values)
        table = addresses(packed)
        slots = {n: slot for n, slot in zip(names, packed, strict=True) if n in pointers}
        for name in pointers:
            if name not in tensors:
                if not ARGUMENTS[name].optional:
                    raise TypeError(f"{source.name} needs {name}")
                slots[name].value = None
        self._slots = [
            (place, slots[name], ARGUMENTS[name].optional, name)
            for place, name in enumerate(tensors)
            if name in slots
        ]
        self._given = len(tensors)
        self._values = packed, table
        self._address = ctypes.addressof(table)
        sizes = {axis: counts[axis] for axis in ("m", "n", "split") if axis in counts}
        self._blocks = count_blocks(build.tile, manifest.grid, **sizes)
        self._launch = driver.current().load(source, build_name, index)

    def run(self, *tensors: Tensor | None) -> None:
        """Launch on these tensors, on the current stream of their device."""
        if len(tensors) != self._given:
            raise TypeError(f"{len(tensors)} tensors were given, not {self._given}")
        for place, slot, is_optional, name in self._slots:
            tensor = tensors[place]
            if tensor is not None:
                slot.value = tensor.data_ptr()
            elif is_optional:
                slot.value = None
            else:
                raise TypeError(f"the kernel needs a tensor for {name}")
        self._launch(self._blocks, self._address)


def launch(
    source: Source,
    build: str,
    device: torch.device,
    tensors: Mapping[str, Tensor | None],
    **counts: int,
) -> None:
    """Run a kernel once, on tensors by name; see `Call` for what is run often."""
    Call(source, build, device.index or 0, counts, tuple(tensors)).run(*tensors.values())
