"""Headers of good files are read whole; every bad file ends in one clear line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from qprobe.checkpoint.headers import WEIGHTS, read_headers
from qprobe.checkpoint.json_object import MAX_JSON_BYTES
from tests.checkpoint.refusal import refusal
from tests.checkpoints import header_bytes, layout, write_safetensors

A = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
B = {"dtype": "I8", "shape": [5], "data_offsets": [24, 29]}


def put(directory: Path, content: bytes) -> Path:
    (directory / WEIGHTS).write_bytes(content)
    return directory


def test_reads_type_shape_and_place(tmp_path):
    put(tmp_path, header_bytes({"__metadata__": {"format": "pt"}, "a": A, "b": B}) + bytes(29))
    tensors = read_headers(tmp_path).tensors
    start = (tmp_path / WEIGHTS).stat().st_size - 29
    assert list(tensors) == ["a", "b"]
    assert (tensors["a"].dtype, tensors["a"].shape) == ("float32", (2, 3))
    assert (tensors["b"].offset, tensors["b"].nbytes) == (start + 24, 5)
    assert tensors["a"].elements == 6


def test_places_are_those_of_the_safetensors_library(tmp_path):
    arrays = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "y": np.arange(4, dtype=np.int8)}
    save_file(arrays, tmp_path / WEIGHTS)
    data = (tmp_path / WEIGHTS).read_bytes()
    for name, header in read_headers(tmp_path).tensors.items():
        found = data[header.offset : header.offset + header.nbytes]
        assert found == arrays[name].tobytes()


def test_takes_the_only_file_of_another_name(tmp_path):
    write_safetensors(tmp_path / "weights.safetensors", {"a": ("F16", [4])})
    assert list(read_headers(tmp_path).tensors) == ["a"]


def test_empty_tensors_and_scalars_are_legal(tmp_path):
    write_safetensors(
        tmp_path / WEIGHTS, {"none": ("F32", [0, 7]), "one": ("F32", []), "zero": ("I8", [0])}
    )
    assert [t.elements for t in read_headers(tmp_path).tensors.values()] == [0, 1, 0]


def test_missing_directory(tmp_path):
    assert "does not exist" in refusal(tmp_path / "nowhere")


def test_a_file_instead_of_a_directory(tmp_path):
    path = write_safetensors(tmp_path / WEIGHTS, {"a": ("F16", [4])})
    assert "is a file, not a directory" in refusal(path)


def test_empty_directory(tmp_path):
    assert "holds nothing" in refusal(tmp_path)


def test_directory_without_weights(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert "holds no *.safetensors" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickles_are_never_opened(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04.")
    words = refusal(tmp_path)
    assert name in words
    assert "never opened" in words
    assert "save_pretrained" in words


def test_gguf_only(tmp_path):
    (tmp_path / "m.Q4_K_M.gguf").write_bytes(b"GGUF")
    assert "only as GGUF (m.Q4_K_M.gguf)" in refusal(tmp_path)


def test_several_files_without_an_index(tmp_path):
    for name in ("a", "b"):
        write_safetensors(tmp_path / f"{name}.safetensors", {name: ("F16", [4])})
    assert "holds 2 safetensors files but no model.safetensors.index.json" in refusal(tmp_path)


GOOD = header_bytes({"a": A, "b": B}) + bytes(29)
TRUNCATED = {
    "nothing at all": (b"", "cut short: 0 bytes"),
    "in the length": (GOOD[:5], "cut short: 5 bytes"),
    "in the header": (GOOD[:40], "cut short in its header"),
    "in the data": (GOOD[:-1], "cut short in its data"),
    "before the data": (GOOD[:-29], "cut short in its data"),
    "one byte too many": (GOOD + b"\0", "1 bytes beyond"),
}


@pytest.mark.parametrize(("content", "words"), TRUNCATED.values(), ids=TRUNCATED)
def test_cut_file(tmp_path, content, words):
    assert words in refusal(put(tmp_path, content))


LENGTHS = {
    "2^60": 2**60,
    "2^64-1": 2**64 - 1,
    "just above the limit": MAX_JSON_BYTES + 1,
}


@pytest.mark.parametrize("length", LENGTHS.values(), ids=LENGTHS)
def test_header_length_beyond_the_limit(tmp_path, length):
    words = refusal(put(tmp_path, length.to_bytes(8, "little") + b"{}"))
    assert f"header would have {length} bytes" in words
    assert str(MAX_JSON_BYTES) in words


NOT_HEADERS = {
    "empty": (b"", "header is no object"),
    "a list": (b"[1]", "header is no object"),
    "cut JSON": (b'{"a": ', "not valid JSON"),
    "not UTF-8": (b'{"\xff": 1}', "not valid JSON"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "header is no object"),
    "a name twice": (b'{"a": 1, "a": 2}', "'a' is there twice"),
    "a key of a tensor twice": (
        b'{"a": {"dtype": "F32", "dtype": "I8"}}',
        "'dtype' is there twice",
    ),
    "nested 100,000 deep": (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion limit"),
    "objects 100,000 deep": (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, "recursion limit"),
    "NaN": (b'{"a": NaN}', "not valid JSON"),
    "a number of 5,000 digits": (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
    "a lone surrogate": (b'{"\\ud800": 1}', "not valid JSON"),
    "metadata that is a list": (b'{"__metadata__": []}', "__metadata__ is not an object"),
    "metadata of numbers": (b'{"__metadata__": {"a": 1}}', "__metadata__ is not an object"),
}


@pytest.mark.parametrize(("header", "words"), NOT_HEADERS.values(), ids=NOT_HEADERS)
def test_not_a_header(tmp_path, header, words):
    assert words in refusal(put(tmp_path, header_bytes(header)))


NOT_TENSORS = {
    "no object": ([1], "described by [1]"),
    "null": (None, "described by None"),
    "no dtype": ({"shape": [1], "data_offsets": [0, 4]}, "unknown dtype None"),
    "unknown dtype": (A | {"dtype": "F7"}, "unknown dtype 'F7'; known are F64"),
    "dtype a list": (A | {"dtype": ["F32"]}, "unknown dtype ['F32']"),
    "no shape": ({"dtype": "F32", "data_offsets": [0, 4]}, "has the shape None"),
    "negative size": (A | {"shape": [-2, -3]}, "has the shape [-2, -3]"),
    "size a float": (A | {"shape": [2.0, 3]}, "has the shape [2.0, 3]"),
    "size a boolean": (A | {"shape": [True, 6]}, "has the shape [True, 6]"),
    "absurd sizes": (A | {"shape": [2**40, 2**40]}, "absurd shape"),
    "absurd though empty": (A | {"shape": [0, 2**63], "data_offsets": [0, 0]}, "absurd shape"),
    "a thousand absurd sizes": (A | {"shape": [2**62] * 1000}, "absurd shape"),
    "no offsets": ({"dtype": "F32", "shape": [1]}, "data_offsets None"),
    "three offsets": (A | {"data_offsets": [0, 12, 24]}, "not [begin, end]"),
    "offset a float": (A | {"data_offsets": [0, 24.0]}, "not [begin, end]"),
    "negative offset": (A | {"data_offsets": [-24, 0]}, "negative or reversed"),
    "reversed offsets": (A | {"data_offsets": [24, 0]}, "negative or reversed"),
    "shape and bytes differ": (A | {"shape": [2, 2]}, "needs 16 bytes, its data_offsets span 24"),
    "dtype and bytes differ": (A | {"dtype": "F64"}, "needs 48 bytes, its data_offsets span 24"),
}


@pytest.mark.parametrize(("entry", "words"), NOT_TENSORS.values(), ids=NOT_TENSORS)
def test_not_a_tensor(tmp_path, entry, words):
    found = refusal(put(tmp_path, header_bytes({"the.name": entry}) + bytes(24)))
    assert words in found
    assert "'the.name'" in found


BAD_LAYOUTS = {
    "overlap": ({"a": A, "b": B | {"data_offsets": [20, 25]}}, 29, "'b' overlaps the one before"),
    "the same place twice": ({"a": A, "b": A}, 24, "overlaps the one before"),
    "gap": ({"a": A, "b": B | {"data_offsets": [25, 30]}}, 30, "'b' follows a gap"),
    "first not at 0": ({"b": B}, 29, "'b' follows a gap"),
    "out of range": ({"a": A, "b": B}, 24, "cut short in its data"),
    "far out of range": ({"a": A | {"data_offsets": [2**62, 2**62 + 24]}}, 24, "follows a gap"),
}


@pytest.mark.parametrize(("header", "data", "words"), BAD_LAYOUTS.values(), ids=BAD_LAYOUTS)
def test_bad_layout(tmp_path, header, data, words):
    assert words in refusal(put(tmp_path, header_bytes(header) + bytes(data)))


def test_names_from_a_file_cannot_steer_the_terminal(tmp_path):
    header = {"\x1b[31mred\n": A | {"dtype": "F7"}}
    assert "\x1b" not in refusal(put(tmp_path, header_bytes(header) + bytes(24)))


def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / WEIGHTS)
    assert "not a regular file" in refusal(tmp_path)


def test_a_directory_for_a_file(tmp_path):
    (tmp_path / WEIGHTS).mkdir()
    assert WEIGHTS in refusal(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path):
    put(tmp_path, GOOD).joinpath(WEIGHTS).chmod(0)
    assert "cannot read" in refusal(tmp_path)


def test_layout_of_the_builder_is_that_of_the_library(tmp_path):
    shapes = {"a": ("F32", [2, 3]), "b": ("BF16", [4])}
    path = write_safetensors(tmp_path / WEIGHTS, shapes)
    with safe_open(path, framework="pt") as file:
        assert {n: file.get_slice(n).get_shape() for n in file.keys()} == {  # noqa: SIM118
            n: e["shape"] for n, e in layout(shapes).items()
        }
