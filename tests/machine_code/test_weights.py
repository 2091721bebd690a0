"""The loops of products with packed weights hold what they were designed to hold."""

import re

import pytest

from qprobe.kernels.cuda.manifest import find_kernels
from tests.machine_code.disassembly import find_loops
from tests.machine_code.gate import compile_pairs, count_opcode
from tests.machine_code.pairs import list_pairs

TALL = [
    pair
    for name in ("gemm_w4a16", "gemm_w8a16")
    for pair in list_pairs(find_kernels()[name])
    if pair.build.tile.m == 128
    and (pair.target, pair.build.activation) in {("8.0", "float16"), ("9.0", "bfloat16")}
]
STEPS = {"W4A16": 128, "W4A16_G64": 64, "W4A16_G32": 32, "W4A16_ASYM": 128, "NF4": 64}
"""Scheme → weights along K that share a scale."""


@pytest.fixture(scope="module")
def outcomes():
    return compile_pairs(TALL)


@pytest.mark.slow
@pytest.mark.parametrize("pair", TALL, ids=str)
def test_weights_of_128_rows_are_copied_once_and_multiplied_from_registers(pair, outcomes):
    """Of one stage: 64 rows by 32 features for each warp, the x and words of which it reads from shared memory once."""
    build, scheme = pair.build, pair.build.schemes[0]
    loops = find_loops(outcomes[str(pair)].instructions)
    loop = max(loops, key=lambda own: count_opcode(own, "HMMA.16816"))
    tiles, words = build.tile.k // 32, 2 if scheme.startswith("W8") else 1
    products = tiles * (64 // 8) * (32 // 16) * 2
    scales = 0 if words == 2 else max(1, build.tile.k // STEPS[scheme])
    assert count_opcode(loop, "HMMA.16816") == products
    assert count_opcode(loop, "LDS.128") <= tiles * (64 // 8 + words) + scales
    assert count_opcode(loop, "LDG.128") == 0
    copies = (128 * build.tile.k * 2 + 128 * tiles * 16 * words) // 16 // build.threads
    extra = (scheme != "W8A16") + ("ASYM" in scheme)
    assert copies <= count_opcode(loop, "LDGSTS.128") <= copies + extra
    # The tensor cores of an SM take 8 clocks of each of its four schedulers for one, 4 on 9.0.
    # What is not one issues in each clock.
    assert len(loop) <= 8 * products


FEW = [
    pair
    for name in ("gemm_w4a16", "gemm_w8a16")
    for pair in list_pairs(find_kernels()[name])
    if pair.build.tile.m <= 16 and (pair.target, pair.build.activation) == ("9.0", "float16")
]
MULTIPROCESSOR_BYTES = 228 * 1024
RESERVED_BYTES = 1024
"""Of shared memory, for each block."""


def count_multiplying(build):
    """Warps of a block for few rows that multiply; what it has beside them starts copies."""
    return build.threads // 256 * 8


def count_words_bytes(build):
    """Of a stage."""
    bits = 8 if build.schemes[0].startswith("W8") else 4
    return build.tile.k * build.tile.n * bits // 8


@pytest.mark.parametrize("pair", FEW, ids=str)
def test_two_blocks_for_few_rows_have_enough_of_memory_on_its_way(pair):
    """By Little's law 4.8 TB/s take some 36 KB on their way to each of 132 multiprocessors, where that takes a microsecond.

    Where x is as much as the words, narrow blocks with less on its way were faster on an H200 than wide ones.
    """
    build = pair.build
    assert 2 * (build.shared_bytes + RESERVED_BYTES) <= MULTIPROCESSOR_BYTES
    on_its_way = (build.defines["QP_STAGES"] - 1) * count_words_bytes(build)
    is_less = build.schemes == ("NF4",) or build.tile.m * build.tile.k * 2 >= count_words_bytes(
        build
    )
    assert 2 * on_its_way >= (64 if is_less else 96) * 1024


def find_main_loops(pairs):
    """Of each: its name, its build, the instructions of a stage, and tiles, 32 features by 32 of K, of a warp in it."""
    for name, outcome in compile_pairs(pairs).items():
        build = next(pair.build for pair in pairs if str(pair) == name)
        loops = find_loops(outcome.instructions)
        loop = max(loops, key=lambda own: count_opcode(own, "HMMA.16816"))
        yield name, build, loop, build.tile.k // 32 * build.tile.n // 32 // count_multiplying(build)


def count_products(build):
    """MMAs for 8 rows of x and 16 of K: of two pairs of features, and where zero points are taken off sums, of ones."""
    scheme = build.schemes[0]
    has_long_groups = STEPS.get(scheme, 0) >= (32 if build.activation == "bfloat16" else 64)
    return 3 if scheme.startswith("W4") and build.tile.m <= 8 and has_long_groups else 2


@pytest.mark.slow
def test_weights_of_few_rows_are_copied_once_and_multiplied_from_registers():
    for name, build, loop, tiles in find_main_loops(FEW):
        words, columns = (
            count_words_bytes(build) // 16 // build.threads // tiles,
            -(-build.tile.m // 8),
        )
        products = count_products(build)
        assert count_opcode(loop, "HMMA.16816") == tiles * columns * 2 * products, name
        assert count_opcode(loop, "LDS.128") <= tiles * (words + columns + 1), name
        assert count_opcode(loop, "LDG.128") == 0, name
        copies = tiles * words + -(-build.tile.m * build.tile.k * 2 // 16 // build.threads)
        assert copies <= count_opcode(loop, "LDGSTS.128") <= copies + 2, name
        # Four schedulers issue 114 instructions in the time in which a multiprocessor of an H200 gets 512 bytes. Some 41
        # of the loop are for rows of x that are not aligned.
        most = 66 if products == 3 and tiles >= 4 else 114
        assert len(loop) - 41 <= most * tiles * words, name


BULK = [
    pair
    for name in ("gemm_w4a16_bulk", "gemm_w4a16_pair")
    for pair in list_pairs(find_kernels()[name])
    if pair.target.startswith("9.0")
]


@pytest.mark.parametrize("pair", BULK, ids=str)
def test_blocks_that_the_copy_engine_feeds_have_enough_of_memory_on_its_way(pair):
    """Two on a multiprocessor, or one of twice as many warps."""
    build = pair.build
    blocks = 16 // count_multiplying(build)
    assert blocks * (build.shared_bytes + RESERVED_BYTES) <= MULTIPROCESSOR_BYTES
    assert blocks * (build.defines["QP_STAGES"] - 1) * count_words_bytes(build) >= 48 * 1024


@pytest.mark.slow
def test_who_multiplies_what_the_copy_engine_brings_does_nothing_else():
    """Of one stage: some 14 instructions of the loop are for stages that are late."""
    for name, build, loop, tiles in find_main_loops(BULK):
        groups, columns = -(-tiles * 32 // STEPS[build.schemes[0]]), -(-build.tile.m // 8)
        products = tiles * columns * 2 * count_products(build)
        assert count_opcode(loop, "HMMA.16816") == products, name
        assert count_opcode(loop, "LDS.128") <= (1 + columns) * tiles + groups, name
        copies = ("LDGSTS", "LDG", "UBLKCP", "BAR")
        assert sum(count_opcode(loop, opcode) for opcode in copies) == 0, name
        # 114 would do for an H200 to keep up with its memory.
        assert len(loop) - 14 <= 86 * tiles, name


MANY = [
    pair
    for name in ("gemm_w4a16_wgmma", "gemm_w8a16_wgmma")
    for pair in list_pairs(find_kernels()[name])
    if pair.build.activation == "bfloat16"
]


@pytest.mark.parametrize("pair", MANY, ids=str)
def test_weights_of_many_rows_are_expanded_while_others_are_multiplied(pair):
    """Of one stage: products of 64 features, all rows and 16 of K; each of two warpgroups has all features, or half of 128."""
    instructions = compile_pairs([pair])[str(pair)].instructions
    build, is_4_bits = pair.build, pair.build.schemes[0] != "W8A16"
    products = 8 if build.tile.n == 256 else 4
    found = [loop for loop in find_loops(instructions) if count_opcode(loop, "HGMMA") == products]
    loop = min(found, key=len)
    assert count_opcode(loop, f"HGMMA.64x{build.tile.m}x16") == products
    # Of each of two tiles, the words of all four lanes of a quad, and nothing that lanes exchange.
    bytes_of_words = products * (1 if is_4_bits else 2) * 16
    width = min(128, bytes_of_words)
    assert (
        count_opcode(loop, f"LDS.{width}" if width > 64 else "LDS.64")
        == bytes_of_words * 8 // width
    )
    assert count_opcode(loop, "SHFL") == 0
    # All products of a tile start before anything is waited for.
    events = {"HGMMA": "p", "WARPGROUP.DEPBAR": "w"}
    order = "".join(
        word for one in loop for start, word in events.items() if one.opcode.startswith(start)
    )
    assert sorted(order) == ["p"] * products + ["w"] * 2
    assert "p" * (products // 2) + "w" in order
    # A multiprocessor takes 1024 clocks for the products of 128 × 256, or of 256 × 128; four schedulers issue for eight
    # warps in that time. Of 64 rows it is the expansion that takes the time.
    assert len(loop) * 8 / 4 <= (0.7 if build.tile.n == 256 else 0.5) * 1024


def test_the_builds_are_those_that_the_schemes_have():
    named = {re.sub(r"_?m128$", "", pair.build.variant) for pair in TALL}
    assert named == {"", "g128", "g128z", "g64", "g32", "nf4"}
