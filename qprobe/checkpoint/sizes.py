"""Reads the sizes of one stack of layers from a config, each value checked before use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qprobe.checkpoint.families._family import Stack
from qprobe.documents.model import KvWindow
from qprobe.errors import InputError

MAX_SIZE = 2**31 - 1
MAX_LAYERS = 100_000
"""They are gone through one by one."""


@dataclass(frozen=True)
class Sizes:
    """A stack of equal layers."""

    name: str
    hidden_size: int
    intermediate_size: int
    attention_heads: int
    kv_heads: int
    head_dim: int
    layers: int
    vocab_size: int
    positions: int | None
    frames: int | None
    """Tokens that it makes of an image or of sound; None: it reads tokens."""
    query_inputs: int
    """K of the linear that makes the queries."""
    kv_elements_per_token: int
    """Of all layers; 0 where nothing is cached."""
    windows: tuple[KvWindow, ...]
    crosses: bool


class Fields:
    """Typed access to a config's fields; every complaint names the file and the field."""

    def __init__(self, content: Mapping[str, Any], keys: Mapping[str, str], source: str) -> None:
        self.content = content
        self.keys = keys
        self.source = source

    def key(self, name: str) -> str:
        """What the config calls a field: of several names the first that is there."""
        names = self.keys.get(name, name).split("|")
        return next((key for key in names if key in self.content), names[0])

    def wrong(self, key: str, wanted: str) -> InputError:
        """The complaint about a field."""
        found = f"{self.content[key]!r:.60}" if key in self.content else "missing"
        return InputError(
            f"{self.source}: {key} is {found}, expected {wanted}",
            "give the config.json that came with the checkpoint",
        )

    def size(self, name: str, most: int = MAX_SIZE) -> int:
        """A positive integer that has to be there."""
        value = self.optional_size(name, most)
        if value is None:
            raise self.wrong(self.key(name), "a positive integer")
        return value

    def optional_size(self, name: str, most: int = MAX_SIZE) -> int | None:
        """A positive integer, or None where it is left out."""
        key = self.key(name)
        value = self.content.get(key)
        if value is None:
            return None
        if type(value) is not int or not 1 <= value <= most:
            raise self.wrong(key, f"an integer from 1 to {most}")
        return value

    def require_multiple(self, name: str, value: int, of_name: str, of: int) -> None:
        """Complain where one size does not divide another."""
        if value % of:
            raise self.wrong(self.key(name), f"a multiple of {self.key(of_name)} = {of}")


def read_sizes(fields: Fields, stack: Stack, mlp_ratio: int) -> Sizes:
    """The sizes of a stack; raises InputError naming the field that is missing or absurd."""
    hidden = fields.size("hidden_size")
    heads = fields.size("num_attention_heads")
    kv_heads = fields.optional_size("num_key_value_heads") or heads
    head_dim = _head_dim(fields, stack, hidden, heads)
    fields.require_multiple("num_attention_heads", heads, "num_key_value_heads", kv_heads)
    layers = fields.size("num_hidden_layers", MAX_LAYERS)
    intermediate = fields.optional_size("intermediate_size")
    if intermediate is None:
        intermediate = mlp_ratio * hidden or fields.size("intermediate_size")
    cached = 2 * kv_heads * head_dim
    if stack.latent:
        cached = fields.size("kv_lora_rank") + fields.size("qk_rope_head_dim")
    return Sizes(
        name=stack.name,
        hidden_size=hidden,
        intermediate_size=intermediate,
        attention_heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        layers=layers,
        vocab_size=fields.size("vocab_size"),
        positions=fields.optional_size("max_position_embeddings"),
        frames=_frames(fields, stack),
        query_inputs=(stack.latent and fields.optional_size("q_lora_rank")) or hidden,
        kv_elements_per_token=layers * cached if stack.caches else 0,
        windows=_windows(fields, stack, layers, cached),
        crosses=stack.crosses,
    )


def _head_dim(fields: Fields, stack: Stack, hidden: int, heads: int) -> int:
    if stack.latent:
        return fields.size("qk_nope_head_dim") + fields.size("qk_rope_head_dim")
    head_dim = fields.optional_size("head_dim")
    if head_dim is None:
        fields.require_multiple("hidden_size", hidden, "num_attention_heads", heads)
        head_dim = hidden // heads
    return head_dim


def _frames(fields: Fields, stack: Stack) -> int | None:
    if not stack.frames:
        return None
    if stack.frames != "image":
        return fields.size(stack.frames)
    height, width = _pixels(fields, "image_size")
    across, along = _pixels(fields, "patch_size")
    # One more for the class token.
    return (height // across) * (width // along) + 1


def _pixels(fields: Fields, key: str) -> tuple[int, int]:
    value = fields.content.get(key)
    both: Sequence[Any] = value if isinstance(value, (list, tuple)) else (value, value)
    if len(both) != 2 or not all(type(v) is int and 1 <= v <= MAX_SIZE for v in both):
        raise fields.wrong(key, f"an integer from 1 to {MAX_SIZE}, or two")
    return both[0], both[1]


def _windows(fields: Fields, stack: Stack, layers: int, cached: int) -> tuple[KvWindow, ...]:
    """The layers that slide, by `layer_types` where config.json has them, else by the family."""
    window = fields.content.get("sliding_window")
    if stack.slides is None or window in (None, 0):
        return ()
    tokens = fields.size("sliding_window")
    types = fields.content.get("layer_types")
    if types is None:
        sliding = sum(stack.slides(layer, fields.content) for layer in range(layers))
    elif isinstance(types, (list, tuple)) and len(types) == layers:
        sliding = sum(kind == "sliding_attention" for kind in types)
    else:
        raise fields.wrong("layer_types", f"a list of {layers}")
    return (KvWindow(elements_per_token=sliding * cached, tokens=tokens),) if sliding else ()
