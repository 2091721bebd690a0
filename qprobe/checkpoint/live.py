"""Reads a live module as a Model: its linears and what its config says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from qprobe.checkpoint.architectures import Match, is_one_of, match_modules, suffix_of
from qprobe.checkpoint.assemble import assemble_model, choose_name, finish_model
from qprobe.checkpoint.config import Config, parse_config
from qprobe.checkpoint.families._family import Row
from qprobe.checkpoint.linears import is_transposed, linear_shape, named_linears
from qprobe.checkpoint.names import family_of
from qprobe.checkpoint.weights import QUERIES, expert_template, make_linear
from qprobe.documents.base import FloatDtype
from qprobe.documents.model import Linear, Model
from qprobe.errors import InputError

FLOATS = get_args(FloatDtype)


@dataclass(frozen=True)
class _Found:
    """A linear of the module, or one part of all experts of a layer."""

    tensor: str
    row: Row | None
    shape: tuple[int, int]
    dtype: torch.dtype
    has_bias: bool
    is_transposed: bool
    count: int = 1


def describe_module(module: nn.Module) -> Model:
    """The Model of a live module; a linear whose weight is also an embedding's is left out.

    What the config of a known model type says is taken from there; for other modules sizes are
    derived from the layers. A layer that is in several places is one linear, under the first of
    its names. Raises InputError where there is no linear to plan for.
    """
    if not isinstance(module, nn.Module):
        raise InputError(
            f"asked to read a {type(module).__name__}, which is neither a path nor an nn.Module",
            "give a checkpoint directory or a module",
        )
    architecture = type(module).__name__
    if any(isinstance(tensor, UninitializedParameter) for tensor in module.parameters()):
        raise InputError(
            f"{architecture} has lazy layers, whose sizes are not known yet",
            "run the module once before",
        )
    content = _config_of(module)
    config = None
    if family_of(module) is not None:
        config = parse_config(
            {**content, "architectures": [architecture]}, f"the config of {architecture}"
        )
    owned: set[int] = set()
    found = [*_linears(module, config, owned), *_experts(module, config, owned)]
    if not found:
        raise InputError(f"{architecture} has no nn.Linear", "there is nothing to quantize in it")
    linears = [_describe(one, config) for one in found]
    others = sum(tensor.numel() for tensor in _stored(module) if id(tensor) not in owned)
    if config is None:
        return finish_model(architecture, _plain_facts(module, linears), linears, others)
    rows = [one.row for one in found if one.row and one.row.kind in QUERIES]
    has = config.with_stacks({row.stack for row in rows})
    return assemble_model(choose_name(config.name_or_path, architecture), has, linears, others)


def _linears(module: nn.Module, config: Config | None, owned: set[int]) -> Iterator[_Found]:
    """Every linear once that is no embedding and no router; its tensors become owned."""
    embeddings = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    seen: set[tuple[int, int]] = set()
    for path, child in named_linears(module):
        if config and is_one_of(config.family.left_alone, path):
            continue
        if 0 in linear_shape(child):
            continue
        # A quantized layer of ours unpacks its weight when asked: its parameters have none.
        weight, bias = child._parameters.get("weight"), child._parameters.get("bias")
        key = (id(child if weight is None else weight), id(bias))
        if id(weight) in embeddings or key in seen:
            continue
        seen.add(key)
        owned.update(id(parameter) for parameter in child.parameters(recurse=False))
        match = _match(config, path)
        if weight is not None and weight.is_meta and _is_tied_head(config, match):
            continue  # Some versions of transformers tie only what has values.
        yield _Found(
            tensor=match.weight if match else f"{path}.weight".lstrip("."),
            row=match.row if match else None,
            shape=linear_shape(child),
            dtype=getattr(child, "compute_dtype", None) or child.get_parameter("weight").dtype,
            has_bias=bias is not None,
            is_transposed=is_transposed(child),
        )


def _experts(module: nn.Module, config: Config | None, owned: set[int]) -> Iterator[_Found]:
    """The parts of every tensor that holds all experts of a layer, as files hold them."""
    if config is None:
        return
    for path, parameter in module.named_parameters():
        matches = match_modules(config.family, config.architecture, path)
        if parameter.ndim != 3 or not matches:
            continue
        owned.add(id(parameter))
        count, n, k = parameter.shape
        for match in matches:
            fused = suffix_of(match.row) == ""
            yield _Found(
                tensor=match.weight if fused else expert_template(match, count),
                row=match.row,
                shape=(n // len(matches), k),
                dtype=parameter.dtype,
                has_bias=False,
                is_transposed=False,
                count=count,
            )


def _is_tied_head(config: Config | None, match: Match | None) -> bool:
    tied = config is not None and config.tie_word_embeddings
    return tied and match is not None and match.row.kind == "head"


def _match(config: Config | None, path: str) -> Match | None:
    if config is None:
        return None
    return next(iter(match_modules(config.family, config.architecture, path)), None)


def _describe(found: _Found, config: Config | None) -> Linear:
    name = str(found.dtype).removeprefix("torch.")
    if name not in FLOATS:
        raise InputError(
            f"the weight of {found.tensor!r:.120} is stored as {name}: quantized already",
            "give the module before it is quantized",
        )
    dtype = cast(FloatDtype, name)
    if config is not None and found.row is not None:
        return make_linear(
            config,
            found.row,
            found.tensor,
            found.shape,
            dtype,
            has_bias=found.has_bias,
            count=found.count,
        )
    return Linear(
        tensor=found.tensor,
        n=found.shape[0],
        k=found.shape[1],
        dtype=dtype,
        has_bias=found.has_bias,
        kind="other",
        fusion_group=found.tensor,
        rows="tokens",
        transposed=found.is_transposed,
    )


def _stored(module: nn.Module) -> Iterator[Tensor]:
    """The tensors of numbers that a checkpoint of the module would hold, each once."""
    seen: set[int] = set()
    for child in module.modules():
        kept = {
            name: buffer
            for name, buffer in child._buffers.items()
            if name not in child._non_persistent_buffers_set
        }
        for tensor in (*child._parameters.values(), *kept.values()):
            if tensor is not None and tensor.is_floating_point() and id(tensor) not in seen:
                seen.add(id(tensor))
                yield tensor


def _config_of(module: nn.Module) -> Mapping[str, object]:
    """What a transformers config holds, or nothing."""
    config = getattr(module, "config", None)
    to_dict = getattr(config, "to_dict", None)
    content = to_dict() if callable(to_dict) else {}
    if not isinstance(content, dict):
        return {}
    dtype = content.get("dtype")
    if isinstance(dtype, torch.dtype):
        content["dtype"] = str(dtype).removeprefix("torch.")
    # transformers keeps where a model was loaded from under an attribute, not in the dict.
    content["_name_or_path"] = str(getattr(config, "_name_or_path", ""))
    return content


def _plain_facts(module: nn.Module, linears: list[Linear]) -> dict[str, object]:
    """Sizes of a module that has no config of a known type; what cannot be known is 1."""
    embeddings = (m.num_embeddings for m in module.modules() if isinstance(m, nn.Embedding))
    return {
        "architecture": type(module).__name__,
        "model_type": "other",
        "hidden_size": max(linear.k for linear in linears),
        "intermediate_size": max(linear.n for linear in linears),
        "attention_heads": 1,
        "layers": 1,
        # The first embeds tokens; others, such as that of positions, may be larger.
        "vocab_size": next(embeddings, 1),
        "max_tokens": None,
        "kv_elements_per_token": 0,
        "quantization_config": None,
    }
