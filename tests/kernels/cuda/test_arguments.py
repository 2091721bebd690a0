"""Arguments have the bytes that the kernel reads, in its order; launches have the blocks that cover the problem."""

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qprobe.errors import InputError
from qprobe.kernels.cuda.arguments import ARGUMENTS, addresses, pack_arguments
from qprobe.kernels.cuda.grid import count_blocks, most_along
from qprobe.kernels.cuda.manifest import Tile

NAMES = ["x", "packed", "bias", "y", "m", "n"]
VALUES = {"y": 2**47, "x": 2**63 + 16, "packed": 4096, "bias": None, "n": 2**31 - 1, "m": 0}


def test_addresses_have_8_bytes_and_counts_4_in_the_order_of_the_kernel():
    packed = pack_arguments(NAMES, VALUES)
    assert [ctypes.sizeof(value) for value in packed] == [8, 8, 8, 8, 4, 4]
    assert [value.value for value in packed] == [2**63 + 16, 4096, None, 2**47, 0, 2**31 - 1]
    pointers = addresses(packed)
    read = ctypes.c_int32.from_address(pointers[5]).value
    assert read == 2**31 - 1
    assert ctypes.c_uint64.from_address(pointers[0]).value == 2**63 + 16


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("m", 2**31, "m = 2147483648 does not fit"),
        ("m", -1, "m = -1 does not fit"),
        ("m", 1.0, "m is 1.0, not an integer"),
        ("m", True, "m is True, not an integer"),
        ("m", None, "m is None, not an integer"),
        ("x", None, "x is None, not an address"),
        ("x", 0, "x is the address 0x0"),
        ("x", 2**64, "x is the address 0x10000000000000000"),
        ("bias", -8, "bias is the address -0x8"),
        ("y", "here", "y is 'here', not an address"),
        ("biass", 8, "and no biass; did you mean bias?"),
        ("group", 8, "the kernel takes x, packed, bias, y, m, n, and no group"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(name, value, words):
    with pytest.raises(InputError) as caught:
        pack_arguments(NAMES, VALUES | {name: value})
    assert words in str(caught.value)


def test_a_tensor_map_is_put_there_by_value():
    made = (ctypes.c_char * 128)(*b"as the driver made it")
    packed = pack_arguments(["x_map", "m"], {"x_map": made, "m": 3})
    assert ctypes.sizeof(packed[0]) == 128
    assert addresses(packed)[0] == ctypes.addressof(made)


@pytest.mark.parametrize("value", [None, 4096, "here"])
def test_what_is_no_tensor_map_is_refused(value):
    with pytest.raises(InputError, match=r"x_map is .*, not a tensor map"):
        pack_arguments(["x_map"], {"x_map": value})


def test_what_is_missing_is_named():
    with pytest.raises(InputError, match="the kernel takes x, m, which was not given"):
        pack_arguments(NAMES, {k: v for k, v in VALUES.items() if k not in ("x", "m")})


def test_every_argument_says_what_it_is():
    assert all(argument.meaning for argument in ARGUMENTS.values())
    assert all(a.kind == "pointer" for a in ARGUMENTS.values() if a.optional)


@given(st.integers(1, 2**20), st.integers(1, 2**20), st.integers(1, 300), st.integers(1, 300))
def test_blocks_cover_everything_and_no_more(m, n, tile_m, tile_n):
    x, y, z = count_blocks(Tile(m=tile_m, n=tile_n), ("n", "m", "split"), min(m, 65535), n, 4)
    assert (x - 1) * tile_n < n <= x * tile_n
    assert (y - 1) * tile_m < min(m, 65535) <= y * tile_m
    assert z == 4


def test_axes_are_counted_as_the_kernel_says():
    assert count_blocks(Tile(m=2), ("m",), m=7) == (4, 1, 1)
    assert count_blocks(Tile(m=2, n=8), ("m", "n"), m=7, n=9) == (4, 2, 1)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 400))
def test_blocks_that_take_tiles_in_turn_are_no_more_than_there_are_tiles_or_room(m, n, at_once):
    tile = Tile(m=128, n=256)
    tiles = -(-m // 128) * -(-n // 256)
    assert count_blocks(tile, ("tile",), m, n, at_once=at_once) == (min(tiles, at_once), 1, 1)
    assert most_along(tile, ("tile",), "m") == most_along(tile, ("tile",), "n") == 2**31 - 1


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 400))
def test_clusters_are_whole_and_cover_the_tiles_that_they_share(m, n, at_once):
    tile = Tile(m=128, n=256)
    blocks, *_ = count_blocks(tile, ("tile",), m, n, at_once=at_once, cluster=2)
    shared = -(-m // 256) * -(-n // 256)
    assert blocks % 2 == 0
    assert blocks // 2 == min(shared, max(1, at_once // 2))


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 9))
def test_clusters_side_by_side_are_whole_and_cover_all_columns(m, n, split):
    blocks = count_blocks(Tile(m=16, n=64), ("n", "m", "split"), m, n, split, cluster=2)
    assert blocks == (-(-n // 128) * 2, -(-m // 16), split)


def test_blocks_that_take_tiles_in_turn_take_their_parts_of_k():
    assert count_blocks(Tile(m=128, n=256), ("tile",), 100, 500, split=4, at_once=132) == (8, 1, 1)


@pytest.mark.parametrize(("m", "n"), [(0, 1), (1, 0), (65536, 1), (1, 2**31)])
def test_launches_that_cannot_be_are_refused(m, n):
    with pytest.raises(InputError, match="a launch has 1 to"):
        count_blocks(Tile(), ("n", "m"), m, n)
