"""The sensitivity that a plan needs: from the cache, or measured and kept."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from qprobe._version import __version__
from qprobe.checkpoint.headers import read_headers
from qprobe.checkpoint.tensor_file import read_samples
from qprobe.checkpoint.text import token_hash
from qprobe.documents.model import Model
from qprobe.documents.scheme import SCHEMES
from qprobe.documents.sensitivity import Sensitivity
from qprobe.errors import UnavailableError
from qprobe.sensitivity._measure import calibration_ids, measure_sensitivity
from qprobe.timing.cache import recall, remember
from qprobe.timing.progress import Progress, silent


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
    """SHA-256, 16 hex digits, of samples of every tensor: tells one training from another."""
    digest = hashlib.sha256()
    for name, tensor in sorted(read_headers(path).tensors.items()):
        digest.update(f"{name}\0{tensor.dtype}\0{tensor.shape}\0".encode())
        digest.update(read_samples(tensor))
    return digest.hexdigest()[:16]
