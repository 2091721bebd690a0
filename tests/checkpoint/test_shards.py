"""An index leads to shards of its own directory, or is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from qprobe.checkpoint.headers import INDEX, read_headers
from qprobe.errors import InputError
from tests.checkpoint.refusal import refusal
from tests.checkpoints import write_safetensors, write_sharded


def test_reads_shards_by_the_index(tmp_path):
    write_sharded(
        tmp_path, {"1.safetensors": {"a": ("F16", [4])}, "2.safetensors": {"b": ("F16", [4])}}
    )
    tensors = read_headers(tmp_path).tensors
    assert {name: t.file.name for name, t in tensors.items()} == {
        "a": "1.safetensors",
        "b": "2.safetensors",
    }


def test_follows_the_links_of_the_hub_cache(tmp_path):
    blob = write_safetensors(tmp_path / "models--o--m" / "blobs" / "abc", {"a": ("F16", [4])})
    snapshot = tmp_path / "models--o--m" / "snapshots" / "123"
    snapshot.mkdir(parents=True)
    (snapshot / "1.safetensors").symlink_to(os.path.relpath(blob, snapshot))
    (snapshot / INDEX).write_text(json.dumps({"weight_map": {"a": "1.safetensors"}}))
    assert list(read_headers(snapshot).tensors) == ["a"]


def index(directory: Path, content: object) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (directory / INDEX).write_text(text)
    return directory


ESCAPES = ["../other.safetensors", "/etc/other.safetensors", "sub/x.safetensors", "..\\x.safetensors",
           "..", "", "model.bin", "x\0.safetensors"]  # fmt: skip


@pytest.mark.parametrize("shard", ESCAPES)
def test_index_that_leads_elsewhere(tmp_path, shard):
    write_safetensors(tmp_path / "other.safetensors", {"a": ("F16", [4])})
    inner = tmp_path / "inner"
    inner.mkdir()
    assert "not a safetensors file of its own directory" in refusal(
        index(inner, {"weight_map": {"a": shard}})
    )


def test_link_that_leads_elsewhere(tmp_path):
    outside = write_safetensors(tmp_path / "outside.safetensors", {"a": ("F16", [4])})
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "1.safetensors").symlink_to(outside)
    assert "link out of the checkpoint's directory" in refusal(
        index(inner, {"weight_map": {"a": "1.safetensors"}})
    )


def test_missing_shard(tmp_path):
    write_sharded(
        tmp_path, {"1.safetensors": {"a": ("F16", [4])}, "2.safetensors": {"b": ("F16", [4])}}
    )
    (tmp_path / "2.safetensors").unlink()
    assert "names '2.safetensors', which is missing" in refusal(tmp_path)


def test_tensor_that_the_shard_lacks(tmp_path):
    write_safetensors(tmp_path / "1.safetensors", {"a": ("F16", [4])})
    index(tmp_path, {"weight_map": {"a": "1.safetensors", "b": "1.safetensors"}})
    assert "promises tensor 'b' in 1.safetensors, which lacks it" in refusal(tmp_path)


def test_shard_of_a_name_that_no_file_can_have(tmp_path):
    found = refusal(index(tmp_path, {"weight_map": {"a": "a" * 300 + ".safetensors"}}))
    assert "File name too long" in found


def test_directory_of_a_name_that_no_directory_can_have():
    with pytest.raises(InputError, match=r"cannot list 'xxx.*: File name too long"):
        read_headers(Path("x" * 300))


INDEXES = {
    "not JSON": ("{", "not valid JSON"),
    "a list": ([], "not an object"),
    "no map": ({}, "no weight_map"),
    "an empty map": ({"weight_map": {}}, "no weight_map"),
    "a list for a map": ({"weight_map": ["a"]}, "no weight_map"),
    "a number for a file": ({"weight_map": {"a": 1}}, "is no string"),
    "a list for a file": ({"weight_map": {"a": []}}, "is no string"),
}


@pytest.mark.parametrize(("content", "words"), INDEXES.values(), ids=INDEXES)
def test_bad_index(tmp_path, content, words):
    assert words in refusal(index(tmp_path, content))
