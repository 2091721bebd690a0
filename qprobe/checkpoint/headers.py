"""Finds a checkpoint's safetensors files and reads their headers; no weight is touched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qprobe.checkpoint.json_object import read_json_object
from qprobe.checkpoint.tensor_file import TensorHeader, read_tensor_file
from qprobe.errors import InputError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")

_LAYOUT = "give a directory in Hugging Face layout: config.json and *.safetensors"
_INCOMPLETE = "download the checkpoint again, with all of its shards"


@dataclass(frozen=True)
class Headers:
    """What a checkpoint holds: tensor name → type, shape and place, in the files' order."""

    directory: Path
    tensors: dict[str, TensorHeader]


def read_headers(directory: Path) -> Headers:
    """Read the headers of a checkpoint directory's safetensors files.

    Raises InputError for whatever is missing, cut short, contradictory or leads out of the
    directory, before anything is mapped or allocated on its word.
    """
    names = _list(directory)
    if WEIGHTS in names:
        return Headers(directory, read_tensor_file(directory / WEIGHTS))
    if INDEX in names:
        return Headers(directory, _read_shards(directory))
    return Headers(directory, read_tensor_file(directory / _only_file(directory, names)))


def _list(directory: Path) -> list[str]:
    try:
        if not directory.exists():
            raise InputError(f"{str(directory)!r:.200} does not exist", _LAYOUT)
        if not directory.is_dir():
            raise InputError(f"{directory} is a file, not a directory", _LAYOUT)
        return sorted(entry.name for entry in directory.iterdir())
    except OSError as error:
        raise InputError(
            f"cannot list {str(directory)!r:.200}: {error.strerror}",
            "check the path and its permissions",
        ) from error


def _only_file(directory: Path, names: list[str]) -> str:
    """The one safetensors file of another name; what else there is decides the error."""
    found = [name for name in names if name.endswith(".safetensors")]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"{directory} holds {len(found)} safetensors files but no {INDEX}",
            f"add the index that belongs to them, or leave one file, called {WEIGHTS}",
        )
    pickles = [name for name in names if name.endswith(PICKLES)]
    if pickles:
        raise InputError(
            f"{directory} holds weights only as a pickle ({pickles[0]}), which can run code and is "
            "never opened",
            "convert it where you trust it: load it with transformers and call "
            "save_pretrained(directory), which writes safetensors",
        )
    gguf = [name for name in names if name.endswith(".gguf")]
    if gguf:
        raise InputError(
            f"{directory} holds weights only as GGUF ({gguf[0]}), which is quantized for llama.cpp",
            "give the safetensors checkpoint that it was made from",
        )
    what = "no *.safetensors" if names else "nothing"
    raise InputError(f"{directory} holds {what}", _LAYOUT)


def _read_shards(directory: Path) -> dict[str, TensorHeader]:
    index = directory / INDEX
    weight_map = read_json_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(f"{index} has no weight_map of tensors to files", _INCOMPLETE)
    shards: dict[object, dict[str, TensorHeader]] = {}
    tensors: dict[str, TensorHeader] = {}
    for name, shard in weight_map.items():
        if not isinstance(shard, str):
            raise InputError(f"{index}: file of tensor {name!r:.120} is no string", _INCOMPLETE)
        if shard not in shards:
            shards[shard] = read_tensor_file(_shard_path(directory, shard))
        if name not in shards[shard]:
            raise InputError(
                f"{index} promises tensor {name!r:.120} in {shard}, which lacks it", _INCOMPLETE
            )
        tensors[name] = shards[shard][name]
    return tensors


def _shard_path(directory: Path, shard: str) -> Path:
    """The path of a shard, which must be a file of this very directory."""
    index = directory / INDEX
    if not shard.endswith(".safetensors") or "/" in shard or "\\" in shard or "\0" in shard:
        raise InputError(
            f"{index} names {shard!r:.120}, which is not a safetensors file of its own directory",
            "do not trust this checkpoint; give one whose index names plain files",
        )
    path = directory / shard
    try:
        is_there = path.exists()
    except OSError as error:
        raise InputError(f"{index} names {shard!r:.120}: {error.strerror}", _INCOMPLETE) from error
    if not is_there:
        raise InputError(f"{index} names {shard!r:.120}, which is missing", _INCOMPLETE)
    home = directory.resolve()
    allowed = [home]
    if home.parent.name == "snapshots":
        # The hub's cache keeps files in blobs/ and links to them from snapshots/<commit>/.
        allowed.append(home.parent.parent / "blobs")
    if path.resolve().parent not in allowed:
        raise InputError(
            f"{path} is a link out of the checkpoint's directory, to {path.resolve()}",
            "put the file itself into the directory",
        )
    return path
