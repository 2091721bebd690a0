"""Which build and how many parts of K: the host's choices for shapes of every kind."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qprobe.documents import arch
from qprobe.kernels.cuda._heuristics import MOST_PARTS, choose_among, choose_split, count_tiles
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.cuda.grid import count_blocks
from qprobe.kernels.cuda.kernels import cuda_kernels, lacks
from qprobe.kernels.cuda.portfolio import all_sources

SOURCES = [all_sources()[kernel.id.removeprefix("cuda.")] for kernel in cuda_kernels()]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
@pytest.mark.parametrize("capability", arch.CAPABILITIES)
def test_every_card_that_has_the_features_has_one_build_for_each_shape(source, capability):
    if arch.missing(source.manifest.requires, capability):
        return
    for scheme in source.manifest.schemes:
        for dtype in (torch.float16, torch.bfloat16, torch.float32):
            builds = source.find_builds(scheme, dtype, capability)
            if not builds:
                continue
            assert all(b.shared_bytes <= arch.SHARED_BYTES[capability] for b in builds)
            for m in (1, 3, 8, 16, 17, 64, 128, 129, 5000):
                chosen = choose_among(builds, 80, m, 4096)
                assert chosen in builds
                if any(b.max_rows and b.max_rows >= m for b in builds):
                    assert chosen.max_rows
                    assert chosen.max_rows >= m
    assert source.find_builds(source.manifest.schemes[0], torch.float16, capability)


@pytest.mark.parametrize(
    ("capability", "words"),
    [("7.5", "turing"), ("8.0", "g128_m"), ("8.6", "g128_m"), ("9.0", "g128_m")],
)
def test_builds_for_older_cards_are_left_to_them(capability, words):
    source = all_sources()["gemm_w4a16"]
    names = [b.variant for b in source.find_builds("W4A16", torch.float16, capability)]
    assert names
    assert all((words in name) and ("turing" in name) == (capability == "7.5") for name in names)


@pytest.mark.parametrize(
    ("m", "height"),
    [(1, 1), (2, 4), (4, 4), (5, 8), (8, 8), (9, 16), (16, 16), (17, 32), (33, 64), (64, 64), (65, 128), (128, 128)],
)  # fmt: skip
@pytest.mark.parametrize("capability", ["7.5", "8.0", "8.9", "9.0", "12.1"])
@pytest.mark.parametrize("name", ["gemm_w4a16", "gemm_w8a16"])
def test_up_to_128_rows_read_the_weight_once(name, capability, m, height):
    source = all_sources()[name]
    for scheme in source.manifest.schemes:
        builds = source.find_builds(scheme, torch.float16, capability)
        if capability == "7.5" and height == 4:
            height = 8
        assert choose_among(builds, 108, m, 4096).tile.m == height


@pytest.mark.parametrize("capability", arch.CAPABILITIES)
@pytest.mark.parametrize(
    "source",
    [s for s in SOURCES if s.manifest.role == "gemm" and s.manifest.max_rows],
    ids=lambda source: source.name,
)
def test_for_few_rows_one_block_has_all_on_every_card(source, capability):
    """A build for fewer rows than the kernel is for would read the weight once for each block of them."""
    if arch.missing(source.manifest.requires, capability):
        return
    for scheme in source.manifest.schemes:
        builds = source.find_builds(scheme, torch.float16, capability)
        for m in range(1, source.manifest.max_rows + 1):
            assert choose_among(builds, 80, m, 4096).tile.m >= m


@pytest.mark.parametrize(
    ("n", "widths"),
    [(4096, (32, 32, 32)), (8192, (32, 64, 64)), (14336, (64, 64, 64)), (16384, (64, 64, 64)), (128000, (64, 64, 64))],
)  # fmt: skip
@pytest.mark.parametrize("name", ["gemm_w4a16", "gemm_w4a16_bulk"])
def test_few_rows_take_blocks_that_fill_the_card_at_once_without_parts_of_k(name, n, widths):
    builds = all_sources()[name].find_builds("W4A16", torch.float16, "9.0")
    chosen = [choose_among(builds, 132, m, n) for m in (1, 4, 8)]
    assert tuple(build.tile.n for build in chosen) == widths
    assert {choose_split(b, "gemm", 132, b.tile.m, n, 8192) for b in chosen} == {1}


@pytest.mark.parametrize(("name", "m"), [("gemm_w4a16_bulk", 8), ("gemm_w4a16_pair", 16)])
def test_few_rows_take_blocks_of_more_warps_where_each_has_a_multiprocessor_to_itself(name, m):
    for scheme in all_sources()[name].manifest.schemes:
        builds = all_sources()[name].find_builds(scheme, torch.float16, "9.0")
        assert choose_among(builds, 132, m, 8192).threads == 576
        assert choose_among(builds, 132, m, 16384).threads == 320


@pytest.mark.parametrize("name", ["gemm_w4a16", "gemm_w4a16_bulk", "gemm_w8a16"])
@pytest.mark.parametrize("n", [4096, 8192])
def test_few_rows_are_not_cut_along_k_for_any_scheme(name, n):
    """Parts of K cost more than they win: 27 µs instead of 20 at M = 1, N = 8192, K = 16384 on an H200."""
    source = all_sources()[name]
    for scheme in source.manifest.schemes:
        builds = source.find_builds(scheme, torch.float16, "9.0")
        for m in (1, 4):
            build = choose_among(builds, 132, m, n)
            assert choose_split(build, "gemm", 132, m, n, 8192) == 1


@pytest.mark.parametrize(
    ("m", "n", "variant"), [(64, 4096, "m32n64"), (256, 4096, "m128n128"), (8192, 8192, "m128n256")]
)
def test_many_rows_take_blocks_that_fill_the_card(m, n, variant):
    builds = all_sources()["gemm_s8_mma"].find_builds("W8A8", torch.float16, "8.0")
    assert choose_among(builds, 108, m, n).variant == variant


@pytest.mark.parametrize("name", ["gemm_w4a16_wgmma", "gemm_w8a16_wgmma"])
@pytest.mark.parametrize(
    ("m", "n", "tile"),
    [(65, 8192, (128, 256)), (128, 8192, (128, 256)), (129, 8192, (256, 128)), (512, 8192, (256, 128)),
     (384, 8192, (256, 128)), (2048, 4096, (256, 128)), (8192, 8192, (256, 128))],
)  # fmt: skip
def test_weights_are_expanded_for_as_many_rows_as_fill_the_card(name, m, n, tile):
    """The time goes into expanding: once for 256 rows where that takes no more waves or parts."""
    source = all_sources()[name]
    for scheme in source.manifest.schemes:
        builds = source.find_builds(scheme, torch.float16, "9.0")
        chosen = choose_among(builds, 132, m, n, takes_parts=True).tile
        assert (chosen.m, chosen.n) == tile


@pytest.mark.parametrize(
    ("m", "variant"), [(128, "m128n128"), (512, "m128n256"), (4096, "m128n256")]
)
def test_of_equals_fewer_parts_of_k_are_taken(m, variant):
    builds = all_sources()["gemm_s8_wgmma_tma"].find_builds("W8A8", torch.float16, "9.0")
    assert choose_among(builds, 132, m, 8192, takes_parts=True).variant == variant


def find(name, scheme, variant=""):
    builds = all_sources()[name].find_builds(scheme, torch.float16, "8.0")
    return next(build for build in builds if variant in build.variant)


@pytest.mark.parametrize("role", ["gemv", "gemm"])
def test_k_is_cut_only_where_blocks_are_few_and_k_is_long(role):
    build = find("gemm_w4a16", "W4A16", "m8")
    for m, n, k, sms in ((1, 4096, 4096, 132), (1, 32, 100, 80), (64, 32000, 4096, 132)):
        parts = choose_split(build, role, sms, m, n, k)
        assert 1 <= parts <= MOST_PARTS
        if count_tiles(build.tile, m, n) >= sms or k < 1024:
            assert parts == 1
    assert choose_split(build, role, 132, 1, 64, 2**20) == MOST_PARTS


def test_what_is_bound_by_arithmetic_is_cut_only_where_half_the_card_would_idle():
    build = find("gemm_s8_mma", "W8A8", "m128n128")
    assert choose_split(build, "gemm", 132, 512, 4096, 4096) == 1  # 128 blocks
    assert choose_split(build, "gemm", 132, 256, 1024, 4096) == 8  # 16 blocks


@pytest.mark.parametrize(
    ("name", "scheme"), [("gemm_s8_wgmma_tma", "W8A8"), ("gemm_w4a16_wgmma", "W4A16")]
)
@pytest.mark.parametrize(("m", "n", "parts"), [(16, 8192, 2), (128, 4096, 4), (512, 8192, 1)])
def test_tiles_that_blocks_take_in_turn_are_cut_into_parts_that_fill_the_card_once(
    name, scheme, m, n, parts
):
    builds = all_sources()[name].find_builds(scheme, torch.float16, "9.0")
    build = choose_among(builds, 132, m, n)
    split = choose_split(build, "gemm", 132, m, n, 8192)
    assert 66 < count_tiles(build.tile, m, n) * split <= 132
    assert split == parts * build.tile.n // 128 or split == 1 == parts


@pytest.mark.parametrize(("variant", "parts"), [("m16", 2), ("m64", 4), ("m128", 4)])
def test_deep_and_tall_blocks_have_a_multiprocessor_to_themselves(variant, parts):
    """4096 outputs are 64 blocks, or 32: so many parts fill 132 multiprocessors once."""
    build = find("gemm_w4a16", "W4A16", variant)
    assert choose_split(build, "gemm", 132, build.tile.m, 4096, 8192) == parts


@given(m=st.integers(9, 16), n=st.integers(1, 20000), k=st.integers(1, 300))
@pytest.mark.parametrize("sm_count", [114, 132])
def test_blocks_with_a_multiprocessor_to_themselves_are_not_cut_into_more_than_there_are(
    sm_count, m, n, k
):
    """Of a cluster, a block that has no features is one of them: 34 blocks for 33 tiles in four parts are two waves."""
    source = all_sources()["gemm_w4a16_pair"]
    for scheme in ("W4A16", "NF4"):
        build = choose_among(source.find_builds(scheme, torch.float16, "9.0"), sm_count, m, n)
        split = choose_split(build, "gemm", sm_count, m, n, 128 * k)
        blocks = math.prod(
            count_blocks(build.tile, source.manifest.grid, m, n, split, cluster=build.cluster)
        )
        assert split == 1 or blocks <= sm_count


def test_a_part_of_k_has_a_stage_at_least():
    build = find("gemm_w4a16", "W4A16", "m1")
    assert choose_split(build, "gemm", 132, 1, 32, 5 * build.tile.k) == 5
    assert choose_split(build, "gemm", 132, 1, 32, build.tile.k - 1) == 1


def test_what_streams_in_shallow_stages_wants_two_blocks_on_each_multiprocessor():
    builds = all_sources()["gemm_w4a16"].find_builds("W4A16", torch.float16, "7.5")
    build = choose_among(builds, 40, 16, 1024)
    assert choose_split(build, "gemm", 40, 16, 1024, 8192) == 80 // 8


@pytest.mark.parametrize(
    ("n", "k", "is_wide", "parts"),
    [(2048, 4096, True, 2), (4096, 4096, True, 1), (4224, 4096, True, 1), (4256, 4096, False, 1), (14336, 4096, False, 1)],
)  # fmt: skip
@pytest.mark.parametrize(("name", "scheme"), [("gemv_w4a16", "W4A16"), ("gemv_w8a16", "W8A16")])
def test_one_row_takes_wide_blocks_where_they_are_fewer_than_multiprocessors(
    name, scheme, n, k, is_wide, parts
):
    """So that as much is on its way as with two blocks each, without sums of parts in memory."""
    builds = all_sources()[name].find_builds(scheme, torch.float16, "9.0")
    chosen = choose_among(builds, 132, 1, n)
    assert ("wide" in chosen.variant) == is_wide
    assert choose_split(chosen, "gemv", 132, 1, n, k) == parts


def test_what_computes_no_layer_is_not_cut():
    build = find("dequantize_w4", "W4A16")
    assert choose_split(build, "dequantize", 132, 1, 32, 2**20) == 1


@pytest.mark.parametrize(("capability", "sm_count"), [("6.1", 20), ("7.5", 40), ("9.0", 132)])
def test_what_the_sanitizer_watches_is_cut_along_k_on_every_card(
    emulated, monkeypatch, capability, sm_count
):
    from tests.gpu.sanitized import IN_PARTS, can_split, count_parts, list_cases

    emulated.card = Card(0, "Emulated", capability, sm_count)
    monkeypatch.setattr(type(emulated), "load", lambda *_: lambda *_: lambda _: None)
    seen = set()
    for kernel, scheme, shape in list_cases():
        source = all_sources()[kernel.id.removeprefix("cuda.")]
        if lacks(source, emulated.card) or not can_split(kernel):
            continue
        seen.add((kernel.id, scheme))
        assert count_parts(kernel, scheme, shape) > 1 or shape != IN_PARTS, kernel.id
    assert {scheme for _, scheme in seen} >= {"W8A8", "W8A16", "W4A16", "NF4"}
