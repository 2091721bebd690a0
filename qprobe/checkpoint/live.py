"""Reads a live module as a Model: its nn.Linear layers and what its config says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast, get_args

import torch
from torch import nn

from qprobe.checkpoint.architectures import FAMILIES, Row, find_row, group_of
from qprobe.checkpoint.assemble import assemble_model, choose_name, finish_model
from qprobe.checkpoint.config import parse_config
from qprobe.documents.base import FloatDtype
from qprobe.documents.model import Linear, Model
from qprobe.errors import InputError

_UNKNOWN = Row("", "other")


def describe_module(module: nn.Module) -> Model:
    """The Model of a live module; a linear whose weight is also an embedding's is left out.

    What the config of a known model type says is taken from there; for other modules sizes are
    derived from the layers. Raises InputError where there is no linear to plan for.
    """
    if not isinstance(module, nn.Module):
        raise InputError(
            f"asked to read a {type(module).__name__}, which is neither a path nor an nn.Module",
            "give a checkpoint directory or a module",
        )
    found = dict(_untied_linears(module))
    architecture = type(module).__name__
    if not found:
        raise InputError(f"{architecture} has no nn.Linear", "there is nothing to quantize in it")
    content = _config_of(module)
    known = content.get("model_type") in FAMILIES
    family = FAMILIES[str(content["model_type"])] if known else None
    linears = []
    for path, linear in found.items():
        tensor = f"{path}.weight".lstrip(".")
        row = find_row(family, architecture, tensor) if family else None
        linears.append(_describe(tensor, linear, row or _UNKNOWN))
    owned = {id(p) for linear in found.values() for p in linear.parameters(recurse=False)}
    others = sum(p.numel() for p in module.parameters() if id(p) not in owned)
    if known:
        config = parse_config(
            {**content, "architectures": [architecture]}, f"the config of {architecture}"
        )
        return assemble_model(
            choose_name(config.name_or_path, architecture), config, linears, others
        )
    return finish_model(architecture, _plain_facts(module, linears), linears, others)


def _untied_linears(module: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    embeddings = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    for path, child in module.named_modules():
        if isinstance(child, nn.Linear) and id(child._parameters.get("weight")) not in embeddings:
            yield path, child


def _describe(tensor: str, linear: nn.Linear, row: Row) -> Linear:
    # A quantized layer of ours says which type its weight had; asking for the weight would unpack it.
    dtype = getattr(linear, "compute_dtype", None) or linear.weight.dtype
    name = str(dtype).removeprefix("torch.")
    if name not in get_args(FloatDtype):
        raise InputError(
            f"the weight of {tensor!r:.120} is stored as {name}: quantized already",
            "give the module before it is quantized",
        )
    return Linear(
        tensor=tensor,
        n=linear.out_features,
        k=linear.in_features,
        dtype=cast(FloatDtype, name),
        has_bias=linear.bias is not None,
        kind=row.kind,
        fusion_group=group_of(row, tensor),
        rows=row.rows,
    )


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
    embeddings = [m.num_embeddings for m in module.modules() if isinstance(m, nn.Embedding)]
    return {
        "architecture": type(module).__name__,
        "model_type": "other",
        "hidden_size": max(linear.k for linear in linears),
        "intermediate_size": max(linear.n for linear in linears),
        "attention_heads": 1,
        "layers": 1,
        "vocab_size": max(embeddings, default=1),
        "max_tokens": None,
        "kv_elements_per_token": 0,
        "quantization_config": None,
    }
