"""Reads config.json: what planning needs of it, each value checked before use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from qprobe.checkpoint.architectures import FAMILIES, Family
from qprobe.checkpoint.json_object import read_json_object
from qprobe.documents.base import FloatDtype
from qprobe.errors import InputError

MAX_SIZE = 2**31 - 1


@dataclass(frozen=True)
class Config:
    """A model's sizes, as its config.json gives them or leaves them to the defaults."""

    architecture: str
    """The class that the weights were saved from, such as BertModel."""
    model_type: str
    hidden_size: int
    intermediate_size: int
    attention_heads: int
    kv_heads: int
    head_dim: int
    layers: int
    vocab_size: int
    max_tokens: int | None
    tie_word_embeddings: bool
    quantization_config: dict[str, object] | None
    dtype: FloatDtype | None
    name_or_path: str
    """Where the model was loaded from when it was saved; may be empty."""

    @property
    def family(self) -> Family:
        """What is known of all models of this type."""
        return FAMILIES[self.model_type]


def read_config(directory: Path) -> Config:
    """Read a checkpoint's config.json; raises InputError naming the file and the field."""
    path = directory / "config.json"
    return parse_config(read_json_object(path), str(path))


def parse_config(content: Mapping[str, object], source: str) -> Config:
    """Check the fields of a config; `source` names it in errors.

    Raises InputError for an unknown model_type and for a field that is missing, of another type,
    out of range or contradicts another.
    """
    model_type = _model_type(content, source)
    family = FAMILIES[model_type]
    fields = _Fields({**family.defaults, **_without_nulls(content)}, family, source)
    hidden = fields.size("hidden_size")
    heads = fields.size("num_attention_heads")
    kv_heads = fields.optional_size("num_key_value_heads") or heads
    head_dim = fields.optional_size("head_dim")
    if head_dim is None:
        fields.require_multiple("hidden_size", hidden, "num_attention_heads", heads)
        head_dim = hidden // heads
    fields.require_multiple("num_attention_heads", heads, "num_key_value_heads", kv_heads)
    positions = fields.optional_size("max_position_embeddings")
    return Config(
        architecture=fields.architecture(),
        model_type=model_type,
        hidden_size=hidden,
        intermediate_size=fields.size("intermediate_size"),
        attention_heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        layers=fields.size("num_hidden_layers"),
        vocab_size=fields.size("vocab_size"),
        max_tokens=None if positions is None else max(1, positions - family.reserved_positions),
        tie_word_embeddings=fields.boolean("tie_word_embeddings"),
        quantization_config=fields.optional_object("quantization_config"),
        dtype=fields.dtype(),
        name_or_path=fields.text("_name_or_path"),
    )


def _without_nulls(content: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in content.items() if value is not None}


def _model_type(content: Mapping[str, object], source: str) -> str:
    known = ", ".join(FAMILIES)
    model_type = content.get("model_type")
    if isinstance(model_type, str) and model_type in FAMILIES:
        return model_type
    if isinstance(content.get("text_config"), dict):
        raise InputError(
            f"{source} nests its language model in text_config (model_type {model_type!r:.60}); "
            f"known are plain models of model_type {known}",
            "save the language model by itself and give that directory",
        )
    raise InputError(
        f"{source} has the model_type {model_type!r:.60}; known are {known}",
        "give a model of a known type, or pass the loaded nn.Module in Python",
    )


class _Fields:
    """Typed access to a config's fields; every complaint names the file and the field."""

    def __init__(self, content: Mapping[str, object], family: Family, source: str) -> None:
        self.content = content
        self.keys = family.keys
        self.family = family
        self.source = source

    def wrong(self, key: str, wanted: str) -> InputError:
        found = f"{self.content[key]!r:.60}" if key in self.content else "missing"
        return InputError(
            f"{self.source}: {key} is {found}, expected {wanted}",
            "give the config.json that came with the checkpoint",
        )

    def size(self, name: str) -> int:
        value = self.optional_size(name)
        if value is None:
            raise self.wrong(self.keys.get(name, name), "a positive integer")
        return value

    def optional_size(self, name: str) -> int | None:
        key = self.keys.get(name, name)
        value = self.content.get(key)
        if value is None:
            return None
        if type(value) is not int or not 1 <= value <= MAX_SIZE:
            raise self.wrong(key, f"an integer from 1 to {MAX_SIZE}")
        return value

    def require_multiple(self, name: str, value: int, of_name: str, of: int) -> None:
        if value % of:
            key, of_key = self.keys.get(name, name), self.keys.get(of_name, of_name)
            raise self.wrong(key, f"a multiple of {of_key} = {of}")

    def boolean(self, name: str) -> bool:
        value = self.content[name]
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def text(self, name: str) -> str:
        value = self.content.get(name, "")
        if not isinstance(value, str):
            raise self.wrong(name, "a string")
        return value

    def optional_object(self, name: str) -> dict[str, object] | None:
        value = self.content.get(name)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return value

    def architecture(self) -> str:
        names = self.content.get("architectures", [self.family.base_class])
        if (
            not isinstance(names, list)
            or not names
            or not isinstance(names[0], str)
            or not names[0].isidentifier()
        ):
            raise self.wrong("architectures", "a list that starts with the name of a class")
        return names[0]

    def dtype(self) -> FloatDtype | None:
        """The type that the weights are meant to be used in; `torch_dtype` is its older name."""
        key = "dtype" if "dtype" in self.content else "torch_dtype"
        value = self.content.get(key)
        if value is not None and value not in get_args(FloatDtype):
            raise self.wrong(key, f"one of {', '.join(get_args(FloatDtype))}")
        return cast("FloatDtype | None", value)
