"""What a table of a family is made of: rows of linears, and stacks of layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from qprobe.documents.model import Kind, RowRule

Keys = Mapping[str, str]
"""Our field → what config.json calls it, where it is not transformers' usual name; `a|b`: b where a
is not there."""
Slides = Callable[[int, Mapping[str, object]], bool]
"""(Layer, config) → whether its cache ends at the sliding window."""


@dataclass(frozen=True)
class Row:
    """Linears of one name: `*` stands for a number, `#` for that of an expert, any prefix may come before."""

    pattern: str
    kind: Kind
    rows: RowRule = "tokens"
    fuses: str = ""
    """Last part of the fusion group's name; empty: the linear stands alone."""
    only: str = ""
    """Holds only for classes whose name contains this."""
    stack: str = ""
    """The stack of layers that it belongs to or, for rows of frames, that makes them."""
    transposed: bool = False
    """Stored as (K, N)."""
    module: str = ""
    """What versions of transformers call it that do not call it as the file does. Where experts have
    a tensor each: the one tensor (E, N, K) that they are in a live module; of several rows that name
    the same tensor, each is a part of its N, in the order of the table."""


@dataclass(frozen=True)
class Stack:
    """Layers of equal sizes, and where config.json has these."""

    name: str = ""
    section: str = ""
    """The object of config.json that holds the sizes; empty: the whole."""
    keys: Keys = field(default_factory=dict)
    caches: bool = False
    """Whether keys and values are kept for the tokens to come."""
    crosses: bool = False
    """Whether it attends to what the first stack makes, and caches keys and values of that."""
    latent: bool = False
    """Whether what is cached are latent vectors that all heads share (MLA)."""
    frames: str = ""
    """Field of config.json that says how many frames it reads, or `image`: by sizes in pixels."""
    defaults: Mapping[str, int | bool] = field(default_factory=dict)
    """Field of its section → its value where it is left out."""
    slides: Slides | None = None
    """Which layers slide where config.json has a window; None: none do."""


@dataclass(frozen=True)
class Family:
    """What planning must know of the models of one `model_type`."""

    model_type: str
    base_class: str
    rows: tuple[Row, ...]
    embeddings: tuple[str, ...]
    """Patterns of the input embedding, to which a head may be tied; the second and later are copies."""
    stacks: tuple[Stack, ...] = (Stack(),)
    keys: Keys = field(default_factory=dict)
    defaults: Mapping[str, int | bool] = field(default_factory=dict)
    """Field of config.json → its value where it is left out."""
    left_alone: tuple[str, ...] = ()
    """Patterns of linears that decide instead of compute: routers stay as they are."""
    reserved_positions: int = 0
    """Position embeddings that no token uses."""
    mlp_ratio: int = 0
    """Width of the feed-forward over the hidden size where config.json leaves it out."""
    buffers: tuple[str, ...] = ()
    """Patterns of constants that old files hold and the model computes anew."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Part of the model that not every class has → parts of the names of those that have it: `a|b`."""
    has_extra_layers: bool = False
    """Whether files may hold layers beyond those of the model, which predict further tokens."""

    def leaves_out(self, architecture: str, tensor: str) -> bool:
        """Whether a class of transformers has no place for a tensor that its file may still hold."""
        if not architecture.startswith(self.base_class.removesuffix("Model")):
            return False
        return any(
            f".{part}." in f".{tensor}." and not any(c in architecture for c in classes.split("|"))
            for part, classes in self.parts.items()
        )
