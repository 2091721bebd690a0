"""Finds the directory of a model: a path, or a hub id that is in the local cache. Reads the disk."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from qprobe.errors import InputError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def find_model(model: str) -> Path:
    """The local directory of `model`; nothing is downloaded.

    Raises InputError where there is neither such a path nor such a hub id in the local cache.
    """
    path = Path(model)
    try:
        if model and path.exists():
            return path
    except OSError as error:
        raise InputError(
            f"cannot look for {model!r:.200}: {error.strerror}",
            "check the path and its permissions",
        ) from error
    if not _HUB_ID.fullmatch(model):
        raise InputError(
            f"no such directory: {model!r:.200}",
            "give a directory with config.json and *.safetensors",
        )
    if importlib.util.find_spec("huggingface_hub") is None:
        raise InputError(
            f"no such directory: {model}; "
            "hub ids are not looked up, because huggingface_hub is not installed",
            "give a directory with config.json and *.safetensors, or pip install 'qprobe[hf]'",
        )
    return _find_in_cache(model)


def _find_in_cache(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise InputError(
            f"no such directory: {model}; {model} is not in the local Hugging Face cache",
            f"give a directory, or fetch it first: hf download {model}",
        ) from error
