"""A model is called what tells most about it."""

from __future__ import annotations

import pytest

from qprobe.checkpoint import read_model
from qprobe.checkpoint.headers import WEIGHTS
from tests.checkpoints import LLAMA_CONFIG, llama_shapes, write_config, write_safetensors

NAMES = {
    "a telling directory": ("my-bert", "nreimers/MiniLM", "my-bert"),
    "a directory called model": ("model", "nreimers/MiniLM", "MiniLM"),
    "a training step": ("checkpoint-500", "nreimers/MiniLM/", "MiniLM"),
    "nothing better known": ("model", "", "model"),
    "escape codes": ("model", "x/\x1b[31mred", "[31mred"),
    "the hub's cache": ("models--org--name/snapshots/abc", "other/base", "name"),
}


@pytest.mark.parametrize(("directory", "origin", "name"), NAMES.values(), ids=NAMES)
def test_name(tmp_path, directory, origin, name):
    place = tmp_path / directory
    write_safetensors(place / WEIGHTS, llama_shapes(LLAMA_CONFIG))
    assert read_model(write_config(place, LLAMA_CONFIG | {"_name_or_path": origin})).name == name
