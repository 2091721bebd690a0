"""The ways in which a kernel is compiled: each variant, for each type of activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qprobe.kernels.cuda.arguments import ARGUMENTS
from qprobe.kernels.cuda.manifest import Activation, MachineCode, Manifest, Tile, Variant
from qprobe.kernels.cuda.tensor_maps import Boxes

ACTIVATION_CODES: dict[Activation, int] = {"float32": 0, "bfloat16": 1, "float16": 2}
"""The value of QP_ACT."""


@dataclass(frozen=True)
class Build:
    """One way to compile a kernel: a variant, for an activation type."""

    variant: str
    """"" where the kernel has no variants."""
    activation: Activation | None
    schemes: tuple[str, ...]
    architectures: tuple[str, ...]
    max_rows: int | None
    tile: Tile
    threads: int
    blocks: int
    """On a multiprocessor at a time."""
    cluster: int
    """Blocks that share the tiles of N which they compute."""
    shared_bytes: int
    defines: dict[str, int]
    sass: MachineCode | dict[str, MachineCode]

    @property
    def name(self) -> str:
        """What tells it from the other builds of its kernel: "g128, float16"."""
        return ", ".join(word for word in (self.variant, self.activation) if word)

    def macros(self) -> tuple[str, ...]:
        """The options -D: what the manifest says once, and the source shall not say again."""
        own = {
            "QP_TILE_M": self.tile.m,
            "QP_TILE_N": self.tile.n,
            "QP_TILE_K": self.tile.k,
            "QP_THREADS": self.threads,
            "QP_BLOCKS": self.blocks,
            "QP_CLUSTER": self.cluster,
            "QP_SHARED_BYTES": self.shared_bytes,
        }
        if self.activation is not None:
            own["QP_ACT"] = ACTIVATION_CODES[self.activation]
        return tuple(f"-D{name}={value}" for name, value in sorted((own | self.defines).items()))

    def boxes(self, tensor_map: str, counts: Mapping[str, int], item_bytes: int) -> Boxes:
        """What the argument of that name tells of a matrix: its size, and a tile of it as a box.

        Of the weights each block of a cluster copies its part, to all.
        """
        axis = ARGUMENTS[tensor_map].axis
        height = self.tile.m if axis == "m" else self.tile.n // self.cluster
        return Boxes(counts[axis], counts["k"] * item_bytes, height, self.tile.k * item_bytes)

    def machine_code(self, target: str) -> MachineCode:
        """What is asked of its machine code on an architecture."""
        return self.sass[target] if isinstance(self.sass, dict) else self.sass


def builds(manifest: Manifest) -> tuple[Build, ...]:
    """Every build of a kernel: each variant for each type of activations."""
    return tuple(
        Build(
            variant=name,
            activation=activation,
            schemes=_first(variant.schemes, manifest.schemes),
            architectures=_first(variant.architectures, manifest.architectures),
            max_rows=_first(variant.max_rows, manifest.max_rows),
            tile=_first(variant.tile, manifest.tile),
            threads=_first(variant.threads, manifest.threads),
            blocks=_first(variant.blocks, manifest.blocks),
            cluster=_first(variant.cluster, manifest.cluster),
            shared_bytes=_first(variant.shared_bytes, manifest.shared_bytes),
            defines=dict(variant.defines),
            sass=_first(variant.sass, manifest.sass),
        )
        for name, variant in (manifest.variants or {"": Variant()}).items()
        for activation in _first(variant.activations, manifest.activations) or (None,)
    )


def _first(own: Any, outer: Any) -> Any:
    return outer if own is None else own
