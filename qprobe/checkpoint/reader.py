"""Reads a checkpoint directory or a live module as a Model, without loading a weight."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qprobe.checkpoint.architectures import Match, is_one_of, match_tensor
from qprobe.checkpoint.assemble import assemble_model, choose_name
from qprobe.checkpoint.config import Config, read_config
from qprobe.checkpoint.families._family import Family
from qprobe.checkpoint.headers import read_headers
from qprobe.checkpoint.tensor_file import read_samples
from qprobe.checkpoint.weights import (
    FLOATS,
    QUERIES,
    Tensors,
    check_against_config,
    describe_weight,
    list_embeddings,
    without_leftovers,
)
from qprobe.documents.model import Linear, Model

if TYPE_CHECKING:
    from torch import nn


def read_model(path_or_module: str | Path | nn.Module) -> Model:
    """Describe a checkpoint directory by its config and headers, or a module by its layers.

    Given a path, torch is not loaded and of the weights at most samples are read: of a head that is
    to be tied and is in the files all the same. Raises InputError where the files or the
    module do not hold what planning needs.
    """
    if isinstance(path_or_module, (str, Path)):
        return _read_directory(Path(path_or_module))
    from qprobe.checkpoint.live import describe_module

    return describe_module(path_or_module)


def _read_directory(directory: Path) -> Model:
    headers = read_headers(directory)
    config = read_config(directory)
    tensors = without_leftovers(headers.tensors, config)
    entries: dict[str, list[Match]] = {}
    names: dict[str, list[str]] = {}
    for name in sorted(tensors, key=_in_reading_order):
        match = match_tensor(config.family, config.architecture, name)
        if match is not None:
            entries.setdefault(match.weight, []).append(match)
            names.setdefault(match.weight, []).append(name)
    embeddings = list_embeddings(config.family, tensors)
    linears: list[Linear] = []
    queries: list[tuple[Match, Linear]] = []
    owned = set(embeddings[1:])
    for weight, matches in entries.items():
        row = matches[0].row
        if (
            row.kind == "head"
            and config.tie_word_embeddings
            and not _differs(tensors, embeddings, names[weight])
        ):
            # The head is the input embedding once more. Some files repeat it.
            owned |= set(names[weight]) if embeddings else set()
            continue
        linear = describe_weight(directory, tensors, config, matches, names[weight])
        linears.append(linear)
        if row.kind in QUERIES:
            queries.append((matches[0], linear))
        owned |= set(names[weight]) | {_bias_of(name) for name in names[weight]}
    check_against_config(directory, config, queries)
    others = sum(
        tensor.elements
        for name, tensor in tensors.items()
        if name not in owned and tensor.dtype in FLOATS and not _is_buffer(config.family, name)
    )
    has = config.with_stacks({match.row.stack for match, _ in queries})
    return assemble_model(_name(directory, config), has, linears, others)


def _differs(tensors: Tensors, embeddings: list[str], head: list[str]) -> bool:
    """Whether a head that is to be tied holds other numbers than the embedding: then it stays untied."""
    if not embeddings:
        return False
    own, other = tensors[embeddings[0]], tensors[head[0]]
    same_kind = (own.dtype, own.shape) == (other.dtype, other.shape)
    return same_kind and read_samples(own) != read_samples(other)


def _bias_of(weight: str) -> str:
    return weight.removesuffix("weight") + "bias"


def _is_buffer(family: Family, name: str) -> bool:
    """Whether it is a constant that the model computes anew."""
    return name.endswith("rotary_emb.inv_freq") or is_one_of(family.buffers, name)


def _name(directory: Path, config: Config) -> str:
    resolved = directory.resolve()
    if resolved.parent.name == "snapshots":
        # The hub's cache: models--<owner>--<name>/snapshots/<commit>.
        return resolved.parent.parent.name.split("--")[-1]
    return choose_name(resolved.name, config.name_or_path, resolved.name)


def _in_reading_order(name: str) -> list[str]:
    """Sorts layer 10 behind layer 9."""
    return [part.zfill(9) if part.isdigit() else part for part in name.split(".")]
