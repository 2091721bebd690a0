"""Loads a checkpoint directory as a live module through transformers, offline, code-free, quiet."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from qprobe.checkpoint.architectures import FAMILIES, match_tensor
from qprobe.checkpoint.config import read_config
from qprobe.checkpoint.headers import INDEX, WEIGHTS
from qprobe.checkpoint.reader import read_model
from qprobe.documents.model import Model
from qprobe.errors import InputError, UnavailableError


def load_module(path: str | Path) -> nn.Module:
    """The model of a checkpoint directory, on the CPU, in eval mode, in the dtype it is stored in.

    Config and headers are checked first. Nothing is fetched, no pickle is opened and no code from
    the directory runs. Raises InputError for a checkpoint that cannot be loaded whole and
    UnavailableError without transformers.
    """
    directory = Path(path)
    model = read_model(directory)
    _refuse_what_cannot_be_loaded(directory, model)
    transformers = _import_transformers()
    named = _class_of(transformers, model)
    with _quiet(transformers):
        try:
            module, report = named.from_pretrained(
                directory,
                dtype=getattr(torch, model.dtype),
                # The config may name an implementation that is downloaded and run.
                attn_implementation="sdpa" if getattr(named, "_supports_sdpa", True) else "eager",
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
        except Exception as error:  # Its checks of a config raise what they like.
            reason = " ".join(str(error).split())
            raise InputError(
                f"transformers cannot load {directory} as {model.architecture}: {reason:.300}",
                "check that config.json belongs to these weights",
            ) from error
    _refuse_random_weights(directory, model, sorted(report["missing_keys"]))
    loaded: nn.Module = module.eval()
    return loaded


def _refuse_what_cannot_be_loaded(directory: Path, model: Model) -> None:
    if read_config(directory).quantization_config is not None:
        raise InputError(
            f"{directory} is quantized already: its config.json has a quantization_config",
            "give the checkpoint that it was quantized from",
        )
    if (directory / "adapter_config.json").exists():
        raise InputError(
            f"{directory} holds an adapter (adapter_config.json) beside the model {model.name}",
            "merge the adapter into the model first, or remove it",
        )
    if not (directory / WEIGHTS).exists() and not (directory / INDEX).exists():
        raise InputError(
            f"{directory} has its weights in a file of another name than {WEIGHTS}",
            f"rename it to {WEIGHTS}",
        )


def _import_transformers() -> ModuleType:
    try:
        import transformers
    except ImportError as error:
        raise UnavailableError(
            "transformers is needed to run the model and is not installed",
            'pip install "transformers>=5"',
        ) from error
    module: ModuleType = transformers
    return module


def _class_of(transformers: ModuleType, model: Model) -> Any:
    """The class that the config names, where transformers has it; else the plain model."""
    named = getattr(transformers, model.architecture, None)
    if isinstance(named, type) and issubclass(named, transformers.PreTrainedModel):
        return named
    return transformers.AutoModel


def _refuse_random_weights(directory: Path, model: Model, missing: list[str]) -> None:
    """What the files lack is filled with random numbers; only a pooler does no harm that way."""
    family = FAMILIES[model.model_type]
    needed = []
    for name in missing:
        match = match_tensor(family, model.architecture, name.rpartition(".")[0] + ".weight")
        if match is None or match.row.kind != "pooler":
            needed.append(name)
    if needed:
        raise InputError(
            f"{directory} lacks {len(needed)} tensors of {model.architecture}, such as {needed[0]}",
            "download the checkpoint again, or name the class that it was saved from in "
            "config.json's architectures",
        )


@contextlib.contextmanager
def _quiet(transformers: ModuleType) -> Iterator[None]:
    """No progress bar, no report and no warning while loading; afterwards as before."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
