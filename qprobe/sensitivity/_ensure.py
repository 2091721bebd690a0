"""The sensitivity that a plan needs: from the cache, or measured and kept."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from qprobe._version import __version__
from qprobe.checkpoint.text import token_hash
from qprobe.documents.model import Model
from qprobe.documents.scheme import SCHEMES
from qprobe.documents.sensitivity import Sensitivity
from qprobe.errors import UnavailableError
from qprobe.sensitivity._measure import calibration_ids, measure_sensitivity
from qprobe.timing.cache import recall, remember
from qprobe.timing.progress import Progress, silent

BLOCKS = 64
BLOCK_BYTES = 4096


def ensure_sensitivity(
    path: Path,
    model: Model,
    text: str | None = None,
    *,
    measure: Literal["auto", "never"] = "auto",
    progress: Progress = silent,
) -> Sensitivity | None:
    """The sensitivity of the checkpoint at `path` on a text (None: the one that ships).

    None where it is not in the cache and may not be measured, or cannot be: without transformers,
    and for models that take more than token ids.
    """
    if not model.reads_only_text:
        return None
    tokens = token_hash(calibration_ids(model, path, text))
    name = f"{model.model_hash}-{hash_weights(path)}-{tokens}-{__version__}"
    known = recall(Sensitivity, name)
    if known is not None or measure == "never":
        return known
    try:
        found = measure_sensitivity(path, tuple(SCHEMES), text, progress=progress)
    except UnavailableError:
        return None
    remember(found, name)
    return found


def hash_weights(path: Path) -> str:
    """SHA-256, 16 hex digits, of blocks spread over the weight files: tells one training from another."""
    digest = hashlib.sha256()
    for file in sorted(path.glob("*.safetensors")):
        size = file.stat().st_size
        digest.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as stream:
            for block in range(BLOCKS):
                stream.seek(size * block // BLOCKS)
                digest.update(stream.read(BLOCK_BYTES))
    return digest.hexdigest()[:16]
