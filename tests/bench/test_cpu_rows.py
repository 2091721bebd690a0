"""What is measured: every candidate and every way of every peer, absent ones with the reason."""

import importlib.metadata
import pkgutil
import sys

import pytest
import torch

from qprobe.bench._candidates import list_candidates
from qprobe.documents.profile import Shape
from tests.bench import cpu_data, cpu_race, peers
from tests.bench.cpu_convert import conversions_of
from tests.bench.cpu_data import LIMITS, count_copies, make_inputs, make_linear
from tests.bench.cpu_race import find_contenders, measure_shape
from tests.bench.cpu_rows import BUNDLED, PLAIN, Row, all_rows, rows_of, sources
from tests.bench.peers._peer import all_peers, group_codes
from tests.bench.scouting import Scouted

N, K = 64, 256
MS = (1, 512)
WITHOUT_A_PACKAGE = ("torch", "torch.ao")


def test_every_file_of_the_folder_is_a_source():
    files = [m.name for m in pkgutil.iter_modules(peers.__path__) if m.name[0] != "_"]
    assert len(sources()) == len(files) + 1 == len(set(sources()))


def test_the_bundled_rows_are_the_candidates():
    rows, candidates = (
        rows_of(BUNDLED, N, K, MS),
        list(list_candidates(Shape(m=512, n=N, k=K), "cpu")),
    )
    assert len(rows) == len(candidates)
    assert sum(row.is_anchor for row in rows) == len(PLAIN)
    for row, candidate in zip(rows, candidates, strict=True):
        assert row.objection(512) == candidate.objection
        assert row.kind == ("bundled" if candidate.scheme.is_quantized else "unquantized")
        assert row.bits == getattr(
            candidate.scheme.weights, "num_bits", 32 if row.kind == "bundled" else row.bits
        )


def test_keys_are_unique_and_bits_have_a_limit():
    rows = all_rows(N, K, MS)
    assert len({row.key for row in rows}) == len(rows)
    assert {row.bits for row in rows} <= set(LIMITS)


def test_an_absent_peer_gives_the_reason(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    for peer in all_peers().values():
        rows = rows_of(peer.name, N, K, MS)
        assert rows
        assert {row.objection(m) for row in rows for m in MS} == {
            f"{peer.distribution} is not installed: run `make peers`"
        }


def test_listing_imports_no_peer():
    before = set(sys.modules)
    all_rows(N, K, MS)
    for peer in all_peers().values():
        list(conversions_of(peer))
    loaded = {name.split(".")[0] for name in set(sys.modules) - before}
    assert not loaded & {peer.module.split(".")[0] for peer in all_peers().values()} - {"torch"}


@pytest.mark.parametrize("source", WITHOUT_A_PACKAGE)
def test_what_torch_alone_can_do_is_right(source):
    linear = make_linear(N, K, 0)
    stored = linear.weight.clone()
    inputs = make_inputs(linear, 17)
    tried = 0
    for row in rows_of(source, N, K, MS):
        try:
            call = row.make(linear)
        except RuntimeError as error:
            assert "no engine" in str(error)
            continue
        with torch.no_grad():
            y = call(inputs.xs[0].to(row.dtype))
        assert y.dtype == row.dtype
        assert inputs.error(y) < LIMITS[row.bits]
        tried += 1
    assert tried
    assert torch.equal(linear.weight, stored)


@pytest.mark.parametrize(("bits", "group"), [(8, K), (4, 32)])
def test_codes_are_the_nearest(bits, group):
    weight = make_linear(N, K, 0).weight
    codes, scale = group_codes(weight, bits, group)
    back = codes.reshape(N, -1, group) * scale.unsqueeze(-1)
    assert ((back.reshape(N, K) - weight).abs() <= scale.repeat_interleave(group, 1) * 0.5001).all()
    with pytest.raises(ValueError, match="not a multiple"):
        group_codes(weight, bits, group + 1)


def test_contenders_are_near_the_best_of_their_kind():
    def row(label, bits, **more):
        return Row("torch", "p", label, bits, torch.float32, lambda linear: linear, **more)

    rows = [row("best", 8), row("near", 8), row("far", 8), row("four", 4), row("wrong", 4),
            row("anchor", 8, is_anchor=True)]  # fmt: skip
    seconds = {"best": 1.0, "near": 1.5, "far": 1.7, "four": 9.0, "wrong": 0.1, "anchor": 50.0}
    scouted = {
        (r.key, 1): Scouted("wrong" if r.label == "wrong" else "timed", "", 0.1, seconds[r.label])
        for r in rows
    }
    found = [r.label for r in find_contenders(rows, scouted, 1)]
    assert found == ["best", "near", "four", "anchor"]


def test_copies_take_about_the_same_memory():
    assert count_copies(4096, 4096, 4, 1) == 4 * count_copies(4096, 4096, 16, 1)
    assert count_copies(4096, 14336, 32, 1) == 2 == count_copies(64, 64, 4, 4096)


def test_a_shape_is_measured_from_one_end_to_the_other(monkeypatch):
    monkeypatch.setattr(cpu_data, "MAX_COPIES", 2)
    monkeypatch.setattr(cpu_race, "MIN_SAMPLES", 2)
    monkeypatch.setattr(cpu_race, "CLOSE", 0.0)
    told = []
    (cell,) = measure_shape(N, K, (3,), 0.0, (BUNDLED,), told.append)
    assert (cell.n, cell.k, cell.m) == (N, K, 3)
    assert len(cell.rows) == len(rows_of(BUNDLED, N, K, (3,)))
    timed = [row for row in cell.rows if row.seconds]
    assert len(timed) == len(PLAIN)  # Nothing else takes no time at all.
    assert all(row.status == "timed" and len(row.seconds) >= 2 for row in timed)
    assert all(row.reason for row in cell.rows if not row.seconds)
    assert told
