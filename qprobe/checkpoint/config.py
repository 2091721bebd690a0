"""Reads config.json: what planning needs of it, each value checked before use."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

from qprobe.checkpoint.architectures import FAMILIES
from qprobe.checkpoint.families._family import Family, Stack
from qprobe.checkpoint.json_object import read_json_object
from qprobe.checkpoint.sizes import Fields, Sizes, read_sizes
from qprobe.documents.base import FloatDtype
from qprobe.errors import InputError


@dataclass(frozen=True)
class Config:
    """A model's sizes, as its config.json gives them or leaves them to the defaults."""

    architecture: str
    """The class that the weights were saved from, such as BertModel."""
    model_type: str
    stacks: tuple[Sizes, ...]
    """Of its layers; most models have one stack of equal layers."""
    experts: int | None
    top_k: int | None
    """How many of the experts a token goes to."""
    tie_word_embeddings: bool
    quantization_config: dict[str, object] | None
    dtype: FloatDtype | None
    name_or_path: str
    """Where the model was loaded from when it was saved; may be empty."""

    @property
    def family(self) -> Family:
        """What is known of all models of this type."""
        return FAMILIES[self.model_type]

    def stack(self, name: str) -> Sizes:
        """The stack of layers that a row of the family's table names."""
        return next(stack for stack in self.stacks if name in (stack.name, ""))

    def with_stacks(self, names: Collection[str]) -> Config:
        """The config of a class that has only these of the stacks."""
        return replace(self, stacks=tuple(stack for stack in self.stacks if stack.name in names))

    @property
    def hidden_size(self) -> int:
        """Of the widest stack."""
        return max(stack.hidden_size for stack in self.stacks)

    @property
    def intermediate_size(self) -> int:
        """Of the widest stack."""
        return max(stack.intermediate_size for stack in self.stacks)

    @property
    def attention_heads(self) -> int:
        """Of the first stack."""
        return self.stacks[0].attention_heads

    @property
    def layers(self) -> int:
        """Of all stacks."""
        return sum(stack.layers for stack in self.stacks)

    @property
    def vocab_size(self) -> int:
        """Of the stack that reads text; 1 where none does."""
        return max(stack.vocab_size for stack in self.stacks)

    @property
    def max_tokens(self) -> int | None:
        """Of a sequence of text; None: there is no limit, or no text."""
        known = (stack.positions for stack in self.stacks if stack.positions is not None)
        positions = next(known, None)
        return None if positions is None else max(1, positions - self.family.reserved_positions)


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
    whole = Fields(_with_defaults(content, family.defaults), family.keys, source)
    stacks = tuple(
        read_sizes(_section(whole, content, family, stack), stack, family.mlp_ratio)
        for stack in family.stacks
    )
    has_experts = any(row.rows == "experts" for row in family.rows)
    experts = whole.size("num_experts") if has_experts else None
    top_k = whole.size("num_experts_per_tok") if has_experts else None
    if experts is not None and top_k is not None and top_k > experts:
        raise whole.wrong("num_experts_per_tok", f"at most {whole.key('num_experts')} = {experts}")
    return Config(
        architecture=_architecture(whole, family),
        model_type=model_type,
        stacks=stacks,
        experts=experts,
        top_k=top_k,
        tie_word_embeddings=_boolean(whole, "tie_word_embeddings"),
        quantization_config=_optional_object(whole, "quantization_config"),
        dtype=_dtype(whole),
        name_or_path=_text(whole, "_name_or_path"),
    )


def _with_defaults(
    content: Mapping[str, object], defaults: Mapping[str, int | bool]
) -> dict[str, object]:
    """What is there, and defaults for what is left out; null leaves out, but for a window."""
    there = {key: value for key, value in content.items() if value is not None}
    found = {**defaults, **there}
    if "sliding_window" in content and content["sliding_window"] is None:
        found.pop("sliding_window", None)
    return found


def _section(whole: Fields, content: Mapping[str, object], family: Family, stack: Stack) -> Fields:
    """The fields of a stack: all of them, or those of a section."""
    inside, source = content, whole.source
    if stack.section:
        section = content.get(stack.section) or {}
        source = f"{source}: {stack.section}"
        if not isinstance(section, Mapping):
            raise whole.wrong(stack.section, "an object")
        inside = section
    defaults = {**family.defaults, **stack.defaults}
    return Fields(_with_defaults(inside, defaults), {**family.keys, **stack.keys}, source)


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


def _boolean(fields: Fields, name: str) -> bool:
    value = fields.content[name]
    if not isinstance(value, bool):
        raise fields.wrong(name, "true or false")
    return value


def _text(fields: Fields, name: str) -> str:
    value = fields.content.get(name, "")
    if not isinstance(value, str):
        raise fields.wrong(name, "a string")
    return value


def _optional_object(fields: Fields, name: str) -> dict[str, object] | None:
    value = fields.content.get(name)
    if value is not None and not isinstance(value, dict):
        raise fields.wrong(name, "an object")
    return value


def _architecture(fields: Fields, family: Family) -> str:
    names = fields.content.get("architectures", [family.base_class])
    if (
        not isinstance(names, list)
        or not names
        or not isinstance(names[0], str)
        or not names[0].isidentifier()
    ):
        raise fields.wrong("architectures", "a list that starts with the name of a class")
    return names[0]


def _dtype(fields: Fields) -> FloatDtype | None:
    """The type that the weights are meant to be used in; `torch_dtype` is its older name."""
    key = "dtype" if "dtype" in fields.content else "torch_dtype"
    value = fields.content.get(key)
    if value is not None and value not in get_args(FloatDtype):
        raise fields.wrong(key, f"one of {', '.join(get_args(FloatDtype))}")
    return cast("FloatDtype | None", value)
