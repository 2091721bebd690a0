"""What a `.cu` file says of itself: the lines `//: ` at its head are TOML, checked here."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from qprobe.documents import arch
from qprobe.documents.base import Document, Positive
from qprobe.documents.scheme import SCHEMES
from qprobe.errors import InputError
from qprobe.kernels.cuda.arguments import ARGUMENTS
from qprobe.kernels.cuda.head import ALL, EACH, HINT, explain, read_head, suggest
from qprobe.kernels.cuda.tensor_maps import BOX_BYTES, MOST_BOX_ROWS
from qprobe.kernels.sources import find_sources

Role = Literal["copy", "peak", "gemv", "gemm", "quantize", "dequantize", "reduce"]
Activation = Literal["float32", "bfloat16", "float16"]
KEPT = 64
"""Manifests that are kept: to read one of a hundred builds takes some 8 ms."""
ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
Axis = Literal["m", "n", "split", "tile"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Macro = Annotated[str, Field(pattern=r"^QP_[A-Z0-9_]+$")]
Integer = Annotated[int, Field(ge=-(2**31), lt=2**31, strict=True)]
Shared = Annotated[int, Field(ge=0, le=max(arch.SHARED_BYTES.values()), strict=True)]
Threads = Annotated[int, Field(ge=32, le=arch.THREADS_PER_BLOCK, multiple_of=32, strict=True)]
Blocks = Annotated[int, Field(ge=1, le=arch.BLOCKS_PER_SM, strict=True)]
Cluster = Annotated[int, Field(ge=1, le=2, strict=True)]
Registers = Annotated[int, Field(ge=16, le=arch.REGISTERS_PER_THREAD, strict=True)]


class Tile(Document):
    """What one block computes: `m` rows of x, `n` output features, `k` weights along K at a time."""

    m: Positive = 1
    n: Positive = 1
    k: Positive = 1


class MachineCode(Document):
    """What must be in the machine code, and what it may use at most."""

    needs: tuple[str, ...] = ()
    """Opcodes of `nvdisasm`, by name and beginnings of parts: "LDG.128" is in LDG.E.128.CONSTANT."""
    at_least: Positive = 1
    """How often each is there: compilers unroll differently, so that it is never an exact number."""
    forbids: tuple[str, ...] = ()
    max_registers: Registers


def _tag(value: object) -> str:
    keys = value if isinstance(value, dict) else ()
    return EACH if keys and all(re.match(r"\d", str(key)) for key in keys) else ALL


Sass = Annotated[
    Annotated[MachineCode, Tag(ALL)] | Annotated[dict[str, MachineCode], Tag(EACH)],
    Discriminator(_tag),
]


class Variant(Document):
    """Another build of the same source; what it leaves out is as the kernel says."""

    defines: dict[Macro, Integer] = Field(default_factory=dict)
    schemes: tuple[str, ...] | None = None
    activations: tuple[Activation, ...] | None = None
    architectures: tuple[str, ...] | None = None
    max_rows: Positive | None = None
    tile: Tile | None = None
    threads: Threads | None = None
    blocks: Blocks | None = None
    cluster: Cluster | None = None
    shared_bytes: Shared | None = None
    sass: Sass | None = None


class Manifest(Document):
    """A kernel, as its source describes it."""

    entry: Name
    """The `extern "C"` function."""
    role: Role
    schemes: tuple[str, ...] = ()
    packing: Name | None = None
    """The module of `qprobe.kernels.cuda.packing` whose order of weights it reads."""
    input: Literal["float", "int8"] = "float"
    """What it wants for x: activations, or int8 codes and a scale for each row."""
    activations: tuple[Activation, ...] = ()
    """The types that it is built for, as QP_ACT; empty: it has nothing to do with activations."""
    row_bytes: Positive = 1
    """What rows of x must be a multiple of: the copy engine takes no others than of 16."""
    requires: tuple[str, ...] = ()
    """Features of `qprobe.documents.arch` that must be native."""
    architectures: Annotated[tuple[str, ...], Field(min_length=1)]
    """What its machine code is checked for: "7.5", or "9.0a" with features of that architecture alone."""
    max_rows: Positive | None = None
    """The largest M that it is meant for, right as it is beyond; absent: any."""
    min_rows: Positive = 1
    """The least M from which on it was measured to be faster than kernels for older cards with the same packing."""
    unproven: bool = False
    """Whether no card has measured it yet: it is measured and planned, but stands in for nothing."""
    overlaps: bool = False
    """Whether a launch may begin before the kernel before it has ended: it waits by itself for all but the weights."""
    tile: Tile
    grid: Annotated[tuple[Axis, ...], Field(min_length=1, max_length=3)] = ("n", "m", "split")
    """What the axes x, y and z of the grid count; "tile": those of M × N, but no more than fit on the card at once."""
    threads: Threads
    blocks: Blocks = 1
    """How many of them a multiprocessor is to hold at a time: what `__launch_bounds__` keeps registers free for."""
    cluster: Cluster = 1
    """Neighbouring blocks that reach each other's shared memory: their tiles are side by side, or in a grid
    of tiles one below the other."""
    shared_bytes: Shared = 0
    """Dynamic shared memory."""
    arguments: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of `qprobe.kernels.cuda.arguments`, in the order of the function's parameters."""
    variants: dict[Name, Variant] = Field(default_factory=dict)
    sass: Sass

    @model_validator(mode="after")
    def _known_and_possible(self) -> Self:
        listed = [("the kernel", self)] + [(f"variant {n!r}", v) for n, v in self.variants.items()]
        _refuse("feature", self.requires, arch.FEATURES)
        _refuse("argument", self.arguments, ARGUMENTS)
        _refuse_twice("argument", self.arguments)
        _refuse_twice("axis of the grid", self.grid)
        if "tile" in self.grid and len(self.grid) > 1:
            raise ValueError('grid = ["tile"] counts whole tiles: no other axis stands beside it')
        if self.grid[0] not in ("tile", "n") and any((p.cluster or 1) > 1 for _, p in listed):
            raise ValueError(
                'blocks of a cluster are neighbours along x: they want grid = ["tile"] or "n" first'
            )
        # Rows of codes are padded.
        has_map = self.packing and self.input == "float" and "x_map" in self.arguments
        if has_map and self.row_bytes % BOX_BYTES.step:
            raise ValueError(
                f"a tensor map of x has rows of a multiple of {BOX_BYTES.step} bytes: "
                f"row_bytes = {BOX_BYTES.step}"
            )
        for who, part in listed:
            _refuse("scheme", part.schemes or (), SCHEMES)
            for target in part.architectures or ():
                self._refuse_architecture(who, target)
            for axis in ("schemes", "activations", "architectures"):
                outer, inner = getattr(self, axis), getattr(part, axis) or ()
                _refuse_twice(f"{axis} of {who}", inner)
                _refuse(f"member of the kernel's {axis}, in {who}", inner, outer)
            self._refuse_boxes(who, part.tile or self.tile)
            if isinstance(part.sass, dict):
                named = part.architectures or self.architectures
                _refuse(f"architecture of {who}", tuple(part.sass), named)
                if left_out := [target for target in named if target not in part.sass]:
                    raise ValueError(f"sass of {who} says nothing of {', '.join(left_out)}")
        return self

    def item_bytes(self, activation: str | None) -> int:
        """Bytes of an element of x: a code, or an activation."""
        return 1 if self.input == "int8" or activation is None else ITEM_BYTES[activation]

    def _refuse_boxes(self, who: str, tile: Tile) -> None:
        maps = [ARGUMENTS[name] for name in self.arguments if ARGUMENTS[name].kind == "tensor_map"]
        rows = {"m": tile.m, "n": tile.n}
        sizes = {tile.k * self.item_bytes(activation) for activation in self.activations or (None,)}
        if any(rows[one.axis] > MOST_BOX_ROWS or not sizes <= set(BOX_BYTES) for one in maps):
            raise ValueError(
                f"the tile of {who} is no box of a tensor map: at most {MOST_BOX_ROWS} rows of "
                f"{BOX_BYTES.start} to {BOX_BYTES[-1]} bytes, a multiple of {BOX_BYTES.step}"
            )

    def _refuse_architecture(self, who: str, target: str) -> None:
        capability = arch.plain(target)
        _refuse("architecture", (capability,), arch.CAPABILITIES)
        if lacking := arch.missing(self.requires, capability):
            raise ValueError(f"{who} lists {target}, where {', '.join(lacking)} is not native")
        wanted = arch.target_for(capability, self.requires)
        if wanted != target:
            raise ValueError(f'{who} lists "{target}", but is built for "{wanted}" by its requires')


def find_kernels(folder: Path | None = None) -> dict[str, Path]:
    """Name → source of every CUDA kernel, by name. Reads the disk."""
    found = (find_sources() if folder is None else folder).glob("*.cu")
    return {path.stem: path for path in sorted(found)}


def read_manifest(path: Path) -> Manifest:
    """The manifest at the head of a source. Reads the disk.

    Raises InputError that names the file, the line, the key, and what would be right.
    """
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name} cannot be read: {error}", HINT) from None
    return parse_manifest(source, path.name)


@functools.lru_cache(maxsize=KEPT)
def parse_manifest(source: str, file: str) -> Manifest:
    """The manifest at the head of a source; `file` is its name in messages."""
    head = read_head(source, file)
    try:
        return Manifest.model_validate(head.content)
    except ValidationError as error:
        # A misspelt key is a missing one too: the first of these says what to do.
        details = sorted(error.errors(), key=lambda detail: detail["type"] == "missing")
        words = "; ".join(explain(detail, head, _known_keys) for detail in details)
        raise InputError(f"{file}: {words}", HINT) from None


def _known_keys(inside: list[str]) -> tuple[str, ...]:
    """The keys that are allowed in a table of the manifest, which the keys around it name."""
    models: dict[str, type[Document]] = {"tile": Tile, "sass": MachineCode, "variants": Variant}
    found = [models[key] for key in inside if key in models]
    return tuple((found[-1] if found else Manifest).model_fields)


def _refuse(what: str, words: tuple[str, ...], known: Any) -> None:
    for word in words:
        if word not in known:
            raise ValueError(f"{word!r} is no {what}{suggest(word, tuple(known))}")


def _refuse_twice(what: str, words: tuple[str, ...]) -> None:
    if twice := {word for word in words if words.count(word) > 1}:
        raise ValueError(f"{what} {', '.join(sorted(twice))} is there twice")
