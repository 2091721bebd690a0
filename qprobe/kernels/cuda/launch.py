"""From tensors and counts to a launch: arguments by name, the grid, and the card."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from qprobe.kernels.cuda import driver
from qprobe.kernels.cuda.arguments import ARGUMENTS, Value, addresses, pack_arguments
from qprobe.kernels.cuda.grid import count_blocks
from qprobe.kernels.cuda.portfolio import Source
from qprobe.kernels.cuda.tensor_maps import BYTES

ALIGNMENT = 16
"""Bytes of the widest load."""
ANYWHERE = 16
"""Stands for an address where only the counts matter yet."""
address_of = Tensor.data_ptr
"""A function, not a method found anew at each tensor."""


class Call:
    """A build of a kernel made ready for one shape: everything but the addresses.

    Running it neither allocates on the card nor synchronizes. One thread at a time may run it.
    """

    __slots__ = ("_kept", "overlaps", "start")

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
        ignored, and what it may do without and is not named is null.
        """
        manifest, build = source.manifest, source.builds[build_name]
        names = manifest.arguments
        kinds = {name: ARGUMENTS[name].kind for name in names}
        values: dict[str, Value] = {name: counts[name] for name in names if name in counts}
        for name, kind in kinds.items():
            if kind == "tensor_map":
                values[name] = (ctypes.c_char * BYTES)()
            elif kind == "pointer":
                values[name] = ANYWHERE if name in tensors else None
                if name not in tensors and not ARGUMENTS[name].optional:
                    raise TypeError(f"{source.name} needs {name}")
        packed = pack_arguments(names, values)
        # Side by side, in the order in which they are given: they are set all at once.
        places: Any = (ctypes.c_void_p * len(tensors))()
        for place, name in enumerate(tensors):
            if name in names:
                packed[names.index(name)] = ctypes.c_void_p.from_buffer(
                    places, place * ctypes.sizeof(ctypes.c_void_p)
                )
        maps = [
            (
                names.index(name),
                tensors.index(ARGUMENTS[name].matrix),
                build.boxes(name, counts, manifest.item_bytes(build.activation)),
            )
            for name, kind in kinds.items()
            if kind == "tensor_map"
        ]
        sizes = {axis: counts[axis] for axis in ("m", "n", "split") if axis in counts}
        at_once = build.blocks * driver.find_card(index).sm_count
        blocks = count_blocks(
            build.tile, manifest.grid, **sizes, at_once=at_once, cluster=build.cluster
        )
        table = addresses(packed)
        launch = driver.current().load(source, build_name, index)(blocks, ctypes.addressof(table))

        # Functions of their own: what they need is nearer to them than attributes are.
        def start(given: Sequence[int], stream: int | None = None) -> None:
            places[:] = given
            launch(stream)

        def start_with_maps(given: Sequence[int], stream: int | None = None) -> None:
            places[:] = given
            kept = [driver.current().encode(boxes, given[place], index) for _, place, boxes in maps]
            for (slot, *_), made in zip(maps, kept, strict=True):
                table[slot] = ctypes.addressof(made)
            launch(stream)
            del kept  # The launch has copied them.

        self._kept = packed, table
        self.start = start_with_maps if maps else start
        """Launch on these addresses, at which tensors stay until it returns.

        Where the current stream is named, the kernel may begin before the one before it has ended.
        """
        self.overlaps = manifest.overlaps
        """Whether it may be: of weights that were there before that kernel began."""

    def run(self, *tensors: Tensor) -> None:
        """Launch on these tensors, on the current stream of their device."""
        self.start([*map(address_of, tensors)])


def launch(
    source: Source,
    build: str,
    device: torch.device,
    tensors: Mapping[str, Tensor | None],
    **counts: int,
) -> None:
    """Run a kernel once, on tensors by name; see `Call` for what is run often."""
    given = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    Call(source, build, device.index or 0, counts, tuple(given)).run(*given.values())


def align(matrix: Tensor) -> Tensor:
    """The matrix contiguous, at an address that the widest load takes."""
    if matrix.is_contiguous():
        return matrix.clone() if matrix.data_ptr() % ALIGNMENT else matrix
    return matrix.contiguous()  # New memory is aligned.
