from __future__ import annotations

import importlib.util

import pytest

from qprobe.errors import InputError
from qprobe.flow.hub import find_model


def test_a_path_that_exists_is_taken_as_it_is(tmp_path):
    assert find_model(str(tmp_path)) == tmp_path


@pytest.mark.parametrize("name", ["./missing", "/missing/model", "a/b/c", "a b", ""])
def test_what_is_no_hub_id_is_a_missing_directory(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no such directory") as caught:
        find_model(name)
    assert caught.value.hint


def test_a_hub_id_that_is_not_in_the_cache(tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="is not in the local Hugging Face cache") as caught:
        find_model("nobody/qprobe-has-no-such-model")
    assert "hf download" in caught.value.hint


def test_a_hub_id_without_the_extra_names_the_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match="huggingface_hub is not installed") as caught:
        find_model("nobody/model")
    assert "qprobe[hf]" in caught.value.hint


def test_a_path_that_no_directory_can_have_is_an_error_of_input():
    with pytest.raises(InputError, match=r"cannot look for 'xxx.*: File name too long"):
        find_model("x" * 300)
