"""Texts are read or refused; tokens come out whole, and batches fill whatever their size."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qprobe.checkpoint.text import read_text, token_batch, token_hash, tokenize, why_bytes
from qprobe.errors import InputError
from tests.checkpoints import minilm


@pytest.mark.parametrize("held_out", [False, True], ids=["calibration", "held out"])
def test_shipped_texts_are_about_7_kb(held_out):
    assert 6500 < len(read_text(None, held_out).encode()) < 8500


def test_shipped_texts_share_no_line():
    lines = [
        {line for line in read_text(None, held_out).splitlines() if line.strip()}
        for held_out in (False, True)
    ]
    assert not lines[0] & lines[1]


def test_a_file_is_read_as_it_is(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("Grüße, 世界\n", encoding="utf-8")
    assert read_text(path) == read_text(str(path), held_out=True) == "Grüße, 世界\n"


BAD = {
    "empty": (b"", "is empty"),
    "blank": (b" \n\t\n", "is empty"),
    "binary": (b"\x00\x01\x02", "is binary"),
    "latin-1": ("Grüße".encode("latin-1"), "not UTF-8 text .byte 2."),
}


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD)
def test_bad_text(tmp_path, content, words):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_text(path)
    assert caught.value.hint


def test_missing_text(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_text(tmp_path / "none.txt")


def test_directory_for_a_text(tmp_path):
    with pytest.raises(InputError, match="is not a file"):
        read_text(tmp_path)


def test_huge_text(tmp_path):
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(InputError, match="larger than 64 MiB"):
        read_text(tmp_path / "a.txt")


def test_hash_is_of_the_tokens_and_their_shape():
    ids = torch.arange(6)
    assert token_hash(ids) == token_hash(ids.clone())
    assert len({token_hash(t) for t in (ids, ids + 1, ids.reshape(2, 3), ids.reshape(3, 2))}) == 4


def test_why_bytes_stand_in(tmp_path, monkeypatch):
    assert why_bytes(None) == "a module has no tokenizer"
    assert why_bytes(tmp_path) == f"{tmp_path} has no tokenizer.json"
    (tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.setattr("qprobe.checkpoint.text.find_spec", lambda name: None)
    assert why_bytes(tmp_path) == "the tokenizers library is not installed"


def test_tokens_of_a_trained_tokenizer_without_extras():
    pytest.importorskip("tokenizers")
    assert tokenize("Hello world. " * 200, minilm(), 30522) == [7592, 2088, 1012] * 200
    assert tokenize("Hello world.", minilm(), 30522) == [7592, 2088, 1012]


def test_bytes_where_there_is_no_tokenizer(tmp_path):
    assert tokenize("aé", None, 1000) == [97, 195, 169]
    assert tokenize("aé", tmp_path, 100) == [97, 95, 69]


def test_tokenizer_of_another_model():
    pytest.importorskip("tokenizers")
    with pytest.raises(InputError, match="the model knows tokens 0 to 99"):
        tokenize("Hello world.", minilm(), 100)


TOKENIZERS = {
    "not JSON": ("{", "is not JSON"),
    "a list": (json.dumps([]), "is not a tokenizer"),
    "no model": (json.dumps({"version": "1.0"}), "is not a tokenizer"),
    "no vocab": (json.dumps({"model": {"type": "BPE"}}), "is not a tokenizer"),
}


@pytest.mark.parametrize(("content", "words"), TOKENIZERS.values(), ids=TOKENIZERS)
def test_bad_tokenizer(tmp_path, content, words):
    pytest.importorskip("tokenizers")
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match=words):
        tokenize("a", tmp_path, 100)


WORDS = {"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "[UNK]",
         "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}  # fmt: skip
UNUSABLE = {
    "no unknown token": {"model": WORDS},
    "an unknown model": {"model": WORDS | {"type": "Nope"}},
    "an unknown normalizer": {"model": WORDS, "normalizer": {"type": "FromTheFuture"}},
    "merges of nothing": {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a z"]}},
}


@pytest.mark.parametrize("content", UNUSABLE.values(), ids=UNUSABLE)
def test_a_tokenizer_that_the_library_refuses(tmp_path, content):
    pytest.importorskip("tokenizers")
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"tokenizer.json cannot be used: ") as caught:
        tokenize("b", tmp_path, 100)
    assert caught.value.hint


def test_batch_of_a_long_text_is_consecutive():
    batch = token_batch(range(100), 3, 4)
    assert batch.dtype == torch.int64
    assert batch.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 40))
def test_batch_always_fills(count, batch, length):
    tokens = token_batch(range(7, 7 + count), batch, length)
    assert tokens.shape == (batch, length)
    assert tokens.min() >= 7
    assert tokens.max() < 7 + count
    assert torch.equal(tokens, token_batch(range(7, 7 + count), batch, length))


def test_rows_of_a_repeated_text_differ():
    rows = {tuple(row) for row in token_batch(range(128), 32, 128).tolist()}
    assert len(rows) == 32


def test_no_tokens():
    with pytest.raises(InputError, match="no tokens"):
        token_batch([], 1, 1)
