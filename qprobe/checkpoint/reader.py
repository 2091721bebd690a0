"""Reads a checkpoint directory or a live module as a Model, without touching a weight."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

from qprobe.checkpoint.architectures import find_row, group_of, is_embedding
from qprobe.checkpoint.assemble import assemble_model, choose_name
from qprobe.checkpoint.config import Config, read_config
from qprobe.checkpoint.headers import read_headers
from qprobe.checkpoint.tensor_file import TensorHeader
from qprobe.documents.base import FloatDtype
from qprobe.documents.model import Linear, Model
from qprobe.errors import InputError

if TYPE_CHECKING:
    from torch import nn

FLOATS = get_args(FloatDtype)

_QUANTIZED = "give the checkpoint that it was quantized from"


def read_model(path_or_module: str | Path | nn.Module) -> Model:
    """Describe a checkpoint directory by its config and headers, or a module by its layers.

    Given a path, neither torch nor a weight is loaded. Raises InputError where the files or the
    module do not hold what planning needs.
    """
    if isinstance(path_or_module, (str, Path)):
        return _read_directory(Path(path_or_module))
    from qprobe.checkpoint.live import describe_module

    return describe_module(path_or_module)


def _read_directory(directory: Path) -> Model:
    headers = read_headers(directory)
    config = read_config(directory)
    tensors = {name: t for name, t in headers.tensors.items() if t.dtype in FLOATS}
    linears: list[Linear] = []
    owned: set[str] = set()
    embedded = any(is_embedding(config.family, name) for name in tensors)
    for name in sorted(headers.tensors, key=_in_reading_order):
        header = headers.tensors[name]
        row = find_row(config.family, config.architecture, name)
        if row is None:
            continue
        if row.kind == "head" and config.tie_word_embeddings:
            # The head is the input embedding once more. Some files repeat it.
            owned |= {name} if embedded else set()
            continue
        bias = name.removesuffix("weight") + "bias"
        linears.append(
            Linear(
                tensor=name,
                n=_matrix(directory, name, header)[0],
                k=header.shape[1],
                dtype=cast(FloatDtype, header.dtype),
                has_bias=_has_bias(directory, bias, header, headers.tensors.get(bias)),
                kind=row.kind,
                fusion_group=group_of(row, name),
                rows=row.rows,
            )
        )
        owned |= {name, bias}
    _check_against_config(directory, config, linears)
    others = sum(
        tensor.elements
        for name, tensor in tensors.items()
        if name not in owned and not name.endswith("rotary_emb.inv_freq")  # a constant, recomputed
    )
    return assemble_model(_name(directory, config), config, linears, others)


def _matrix(directory: Path, name: str, header: TensorHeader) -> tuple[int, int]:
    if header.dtype not in FLOATS:
        raise InputError(
            f"{directory}: {name!r:.120} is stored as {header.dtype}: quantized already", _QUANTIZED
        )
    if len(header.shape) != 2 or 0 in header.shape:
        raise InputError(
            f"{directory}: {name!r:.120} has the shape {list(header.shape)}, expected the (N, K) "
            "of a linear",
            "check that config.json belongs to these weights",
        )
    return header.shape[0], header.shape[1]


def _has_bias(directory: Path, name: str, weight: TensorHeader, bias: TensorHeader | None) -> bool:
    if bias is None:
        return False
    if bias.shape != weight.shape[:1]:
        raise InputError(
            f"{directory}: {name!r:.120} has the shape {list(bias.shape)}, expected "
            f"{list(weight.shape[:1])}",
            "check that the files belong together",
        )
    return True


def _check_against_config(directory: Path, config: Config, linears: list[Linear]) -> None:
    hint = "check that config.json belongs to these weights"
    queries = [linear for linear in linears if linear.kind == "query"]
    if len(queries) != config.layers:
        quantized = ", which is quantized already" if config.quantization_config else ""
        raise InputError(
            f"{directory} holds the query weights of {len(queries)} {config.model_type} layers, "
            f"config.json announces {config.layers}{quantized}",
            _QUANTIZED if quantized else hint,
        )
    for query in queries:
        expected = (config.attention_heads * config.head_dim, config.hidden_size)
        if (query.n, query.k) != expected:
            raise InputError(
                f"{directory}: {query.tensor} has the shape {[query.n, query.k]}, config.json "
                f"implies {list(expected)}",
                hint,
            )


def _name(directory: Path, config: Config) -> str:
    resolved = directory.resolve()
    if resolved.parent.name == "snapshots":
        # The hub's cache: models--<owner>--<name>/snapshots/<commit>.
        return resolved.parent.parent.name.split("--")[-1]
    return choose_name(resolved.name, config.name_or_path, resolved.name)


def _in_reading_order(name: str) -> list[str]:
    """Sorts layer 10 behind layer 9."""
    return [part.zfill(9) if part.isdigit() else part for part in name.split(".")]
