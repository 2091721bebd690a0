"""Describes the linears of a checkpoint by the headers of their weights, checked against its config."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast, get_args

from qprobe.checkpoint.architectures import (
    EVERY_EXPERT,
    WEIGHT,
    Match,
    group_of,
    is_one_of,
    suffix_of,
)
from qprobe.checkpoint.config import Config
from qprobe.checkpoint.families._family import Family, Row
from qprobe.checkpoint.sizes import Sizes
from qprobe.checkpoint.tensor_file import TensorHeader
from qprobe.documents.base import FloatDtype
from qprobe.documents.model import Kind, Linear
from qprobe.errors import InputError

FLOATS = get_args(FloatDtype)
QUERIES: tuple[Kind, ...] = ("query", "qkv")
"""The kinds of which every layer of a stack has one, at least."""

_QUANTIZED = "give the checkpoint that it was quantized from"
_MISFIT = "check that config.json belongs to these weights"

Tensors = Mapping[str, TensorHeader]


def without_leftovers(tensors: Tensors, config: Config) -> Tensors:
    """The tensors that the class has: no head of another class, no layers that predict further tokens."""
    family = config.family
    most = config.layers if family.has_extra_layers else math.inf
    return {
        name: tensor
        for name, tensor in tensors.items()
        if _layer_of(name) < most and not family.leaves_out(config.architecture, name)
    }


def _layer_of(name: str) -> int:
    _, found, rest = name.partition("layers.")
    number = rest.partition(".")[0]
    is_number = bool(found) and number.isascii() and number.isdigit() and len(number) < 10
    return int(number) if is_number else -1


def list_embeddings(family: Family, tensors: Tensors) -> list[str]:
    """The input embedding, if there is one, and then its copies."""
    return [
        name
        for pattern in family.embeddings
        for name in tensors
        if is_one_of((pattern + WEIGHT,), name)
    ]


def describe_weight(
    directory: Path, tensors: Tensors, config: Config, matches: Sequence[Match], names: list[str]
) -> Linear:
    """The linear of one weight, or of the weights of all experts of a layer, which are alike.

    Raises InputError for a weight of another shape or type than a linear's and for experts that
    differ or are not all there.
    """
    row, header = matches[0].row, tensors[names[0]]
    tensor = names[0]
    stacked = row.rows == "experts" and suffix_of(row) == ""
    n, k = _matrix(directory, names[0], header, row, stacked=stacked)
    has_bias = _has_bias(directory, names[0], n, tensors)
    count = header.shape[0] if stacked else len(names)
    if row.rows == "experts":
        if count != config.experts:
            raise InputError(
                f"{directory}: {matches[0].weight!r:.120} is of {count} experts, config.json "
                f"announces {config.experts}",
                _MISFIT,
            )
        if not stacked:
            _check_experts(directory, matches, names, tensors)
            tensor = expert_template(matches[0], count)
    return make_linear(
        config, row, tensor, (n, k), cast(FloatDtype, header.dtype), has_bias=has_bias, count=count
    )


def make_linear(
    config: Config,
    row: Row,
    tensor: str,
    shape: tuple[int, int],
    dtype: FloatDtype,
    *,
    has_bias: bool,
    count: int = 1,
) -> Linear:
    """A linear of (N, K) with what its row and the config say of it."""
    return Linear(
        tensor=tensor,
        n=shape[0],
        k=shape[1],
        dtype=dtype,
        has_bias=has_bias,
        kind=row.kind,
        fusion_group=group_of(row, tensor),
        rows=row.rows,
        transposed=row.transposed,
        count=count,
        top_k=config.top_k if row.rows == "experts" else None,
        frames=config.stack(row.stack).frames if row.rows == "frames" else None,
    )


def expert_template(match: Match, count: int) -> str:
    """The name of an expert's weight, with the numbers of all of them in its place."""
    return match.weight.replace(EVERY_EXPERT, f"{{0..{count - 1}}}")


def _check_experts(
    directory: Path, matches: Sequence[Match], names: Sequence[str], tensors: Tensors
) -> None:
    """They are numbered from 0, and all are alike."""
    numbers = {match.expert for match in matches}
    if missing := {str(number) for number in range(len(names))} - numbers:
        raise InputError(
            f"{directory}: {matches[0].weight!r:.120} is not there for expert {min(missing)}",
            "download the checkpoint again, with all of its shards",
        )
    first = _words(names[0], tensors)
    for name in names:
        if (other := _words(name, tensors)) != first:
            raise InputError(
                f"{directory}: {name!r:.120} {other}, that of expert {matches[0].expert} {first}",
                _MISFIT,
            )


def _words(name: str, tensors: Tensors) -> str:
    """What all experts must have alike."""
    header = tensors[name]
    bias = "with a bias" if _bias_of(name) in tensors else "without a bias"
    return f"is {header.dtype} {list(header.shape)} {bias}"


def _matrix(
    directory: Path, name: str, header: TensorHeader, row: Row, *, stacked: bool
) -> tuple[int, int]:
    if header.dtype not in FLOATS:
        raise InputError(
            f"{directory}: {name!r:.120} is stored as {header.dtype}: quantized already", _QUANTIZED
        )
    if len(header.shape) != 2 + stacked or 0 in header.shape:
        expected = "(E, N, K) of experts" if stacked else "(N, K) of a linear"
        raise InputError(
            f"{directory}: {name!r:.120} has the shape {list(header.shape)}, expected the "
            f"{expected}",
            _MISFIT,
        )
    n, k = header.shape[-2:]
    return (k, n) if row.transposed else (n, k)


def _bias_of(weight: str) -> str:
    return weight.removesuffix("weight") + "bias"


def _has_bias(directory: Path, weight: str, n: int, tensors: Tensors) -> bool:
    name = _bias_of(weight)
    bias = tensors.get(name)
    if bias is None or not weight.endswith(WEIGHT):
        return False
    if bias.shape != (n,):
        raise InputError(
            f"{directory}: {name!r:.120} has the shape {list(bias.shape)}, expected {[n]}",
            "check that the files belong together",
        )
    return True


def check_against_config(
    directory: Path, config: Config, queries: Sequence[tuple[Match, Linear]]
) -> None:
    """Raise InputError where the linears of the queries are not those that the config implies."""
    layers: dict[str, set[str]] = {}
    for match, linear in queries:
        stack = config.stack(match.row.stack)
        layers.setdefault(stack.name, set()).add(match.layers[0])
        expected = (_query_size(stack, linear), stack.query_inputs)
        if (linear.n, linear.k) != expected:
            raise InputError(
                f"{directory}: {linear.tensor} has the shape {[linear.n, linear.k]}, config.json "
                f"implies {list(expected)}",
                _MISFIT,
            )
    for stack in config.stacks:
        # A class may have one of the stacks and not the other; it has one at least.
        found = len(layers.get(stack.name, ()))
        if found != stack.layers and (found or not layers):
            quantized = ", which is quantized already" if config.quantization_config else ""
            kind = f"{config.model_type} {stack.name}".rstrip()
            raise InputError(
                f"{directory} holds the query weights of {found} {kind} layers, "
                f"config.json announces {stack.layers}{quantized}",
                _QUANTIZED if quantized else _MISFIT,
            )


def _query_size(stack: Sizes, linear: Linear) -> int:
    heads = stack.attention_heads
    if linear.kind == "qkv":
        heads += 2 * stack.kv_heads
    return heads * stack.head_dim
