"""Whatever the bytes, a header is read or refused with InputError, in bounded memory."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from qprobe.checkpoint.headers import INDEX, WEIGHTS, Headers, read_headers
from qprobe.errors import InputError
from tests.checkpoints import header_bytes, layout

SETTINGS = settings(max_examples=150, deadline=None)
MAX_MEMORY_BYTES = 2**20

GOOD = header_bytes(layout({"a": ("F32", [2, 3]), "b": ("I8", [5]), "c": ("BF16", [])})) + bytes(31)

numbers = st.integers(-(2**70), 2**70) | st.integers(-2, 40)
leaves = st.none() | st.booleans() | numbers | st.floats(allow_nan=False) | st.text(max_size=8)
junk = st.recursive(
    leaves, lambda c: st.lists(c, max_size=4) | st.dictionaries(st.text(max_size=4), c, max_size=4)
)
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "BF16", "I8", "F7"]) | junk,
        "shape": st.lists(numbers, max_size=4) | junk,
        "data_offsets": st.lists(numbers, min_size=2, max_size=2) | junk,
    }
)


def outcome(files: dict[str, bytes]) -> Headers | InputError:
    """What reading gives; any other exception fails the test, and so does a hunger for memory."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for file, content in files.items():
            (directory / file).write_bytes(content)
        tracemalloc.start()
        try:
            return check(read_headers(directory), directory)
        except InputError as error:
            return error
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < MAX_MEMORY_BYTES


def check(headers: Headers, directory: Path) -> Headers:
    """Every tensor that was accepted lies within its file."""
    for tensor in headers.tensors.values():
        assert tensor.file.parent == directory
        assert tensor.offset >= 8
        assert tensor.offset + tensor.nbytes <= tensor.file.stat().st_size
    return headers


def test_the_unmutated_file_is_good():
    assert isinstance(outcome({WEIGHTS: GOOD}), Headers)


@SETTINGS
@given(st.binary(max_size=200))
def test_random_bytes(content):
    outcome({WEIGHTS: content})


@SETTINGS
@given(st.binary(max_size=200))
def test_random_header(content):
    outcome({WEIGHTS: header_bytes(content)})


@SETTINGS
@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=6)
)
@example([(2, 128)])
def test_changed_bytes(changes):
    content = bytearray(GOOD)
    for position, value in changes:
        content[position] = value
    outcome({WEIGHTS: bytes(content)})


@SETTINGS
@given(st.integers(0, len(GOOD)), st.integers(0, 20))
def test_missing_bytes(position, count):
    outcome({WEIGHTS: GOOD[:position] + GOOD[position + count :]})


@SETTINGS
@given(st.dictionaries(st.text(max_size=6), entries | junk, max_size=4), st.integers(0, 64))
@example({"a": {"dtype": "F32", "shape": [2**62] * 9, "data_offsets": [0, 4]}}, 4)
@example({"": {"dtype": "I8", "shape": [3], "data_offsets": [0, 3]}}, 3)
def test_random_descriptions(header, data):
    outcome({WEIGHTS: header_bytes(header) + bytes(data)})


@SETTINGS
@given(st.dictionaries(st.text(max_size=6), st.text(max_size=12) | junk, max_size=4) | junk)
def test_random_index(weight_map):
    files = {INDEX: json.dumps({"weight_map": weight_map}).encode(), "1.safetensors": GOOD}
    outcome(files)
