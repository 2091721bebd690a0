"""Text for calibration and verification: where it comes from, its tokens, and batches of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import torch
from pydantic_core import from_json

from qprobe.errors import InputError

MAX_TEXT_BYTES = 64 * 2**20
MAX_TOKENIZER_BYTES = 256 * 2**20

REPEAT_OFFSET = 37
"""By how many tokens each repetition of a short text is shifted, so that no two rows are equal."""

_HINT = "give a UTF-8 text file"
_TOKENIZER_HINT = "download the tokenizer again, or remove the file"


def read_text(source: str | Path | None, held_out: bool = False) -> str:
    """The text of a file, or one that ships with qprobe: for calibration, or held out from it.

    Raises InputError for a file that is missing, empty, not UTF-8 text, or larger than 64 MiB.
    """
    if source is None:
        name = "held_out.txt" if held_out else "calibration.txt"
        folder = resources.files("qprobe.checkpoint") / "texts"
        return (folder / name).read_text(encoding="utf-8")
    path = Path(source)
    data = _read(path, MAX_TEXT_BYTES, _HINT)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start})", _HINT) from error
    if "\0" in text:
        raise InputError(f"{path} is binary: it contains zero bytes", _HINT)
    if not text.strip():
        raise InputError(f"{path} is empty", _HINT)
    return text


def tokenize(text: str, model_path: Path | None, vocab_size: int) -> list[int]:
    """Token ids of the whole text: no special tokens, nothing cut off, nothing padded.

    By the tokenizer.json beside the model where there is one and the tokenizers library too;
    otherwise its UTF-8 bytes modulo the vocabulary. Raises InputError where the tokenizer yields
    ids that the model does not know.
    """
    path = None if model_path is None else model_path / "tokenizer.json"
    if path is None or why_bytes(model_path):
        return _bytes_as_tokens(text, vocab_size)
    ids = _encode(text, path)
    if not ids or max(ids) >= vocab_size:
        found = f"token {max(ids)}" if ids else "no token"
        raise InputError(
            f"{path} yields {found} for the text; the model knows tokens 0 to {vocab_size - 1}",
            "give the tokenizer.json that belongs to the model",
        )
    return ids


def why_bytes(model_path: Path | None) -> str:
    """Why bytes stand in for the tokens of a model; empty where its tokenizer makes them."""
    if model_path is None:
        return "a module has no tokenizer"
    if not (model_path / "tokenizer.json").exists():
        return f"{model_path} has no tokenizer.json"
    if find_spec("tokenizers") is None:
        return "the tokenizers library is not installed"
    return ""


def token_hash(ids: torch.Tensor) -> str:
    """SHA-256 of token ids and their shape, 16 hex digits."""
    content = json.dumps(ids.tolist()).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def token_batch(ids: Sequence[int], batch: int, length: int) -> torch.Tensor:
    """Consecutive windows of the tokens: (batch, length) int64.

    A short text is repeated, each time shifted a little. Raises InputError without tokens.
    """
    if not ids:
        raise InputError("the text has no tokens", "give a longer text")
    position = torch.arange(batch * length)
    repetition = position // len(ids)
    index = (position + repetition * REPEAT_OFFSET) % len(ids)
    return torch.tensor(ids, dtype=torch.int64)[index].reshape(batch, length)


def _encode(text: str, path: Path) -> list[int]:
    from tokenizers import Tokenizer

    content = _tokenizer_json(path)
    try:
        tokenizer = Tokenizer.from_str(content)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    except Exception as error:  # The library raises no other type.
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be used: {reason:.200}", _TOKENIZER_HINT) from error
    return ids


def _bytes_as_tokens(text: str, vocab_size: int) -> list[int]:
    try:
        return [byte % vocab_size for byte in text.encode()]
    except UnicodeEncodeError as error:
        raise InputError(f"the text is not Unicode: {error.reason}", "give another text") from error


def _tokenizer_json(path: Path) -> str:
    """The file's content, checked as far as can be said in plainer words than the library's."""
    hint = _TOKENIZER_HINT
    data = _read(path, MAX_TOKENIZER_BYTES, hint)
    try:
        content = from_json(data)
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error!s:.200}", hint) from error
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), (dict, list)):
        raise InputError(f"{path} is not a tokenizer: it has no model with a vocab", hint)
    return data.decode()


def _read(path: Path, limit: int, hint: str) -> bytes:
    try:
        if not path.is_file():
            found = "is not a file" if path.exists() else "does not exist"
            raise InputError(f"{str(path)!r} {found}", hint)
        if path.stat().st_size > limit:
            raise InputError(f"{path} is larger than {limit // 2**20} MiB", hint)
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", hint) from error
