"""What measuring a shape on a GPU does beyond what it does on a processor, on a planted device."""

from contextlib import nullcontext

import pytest
import torch

from qprobe.bench import _shape
from qprobe.bench._bed import Gpu, Timing
from qprobe.bench._gpu import support_of
from qprobe.bench._shape import measure_shape
from qprobe.documents.profile import Shape
from qprobe.timing.interleave import Task
from qprobe.timing.yardstick import make_yardstick


class PlantedBed:
    """A processor that tells times of a GPU: of the kernel, and of the host."""

    name = "cpu"
    device = torch.device("cpu")
    compute_dtypes = ("bfloat16", "float16")
    most_bytes = Gpu.most_bytes
    follows = False

    def __init__(self, cache=0, memory=None):
        self.cache, self.memory, self.made = cache, memory, 0

    def cache_bytes(self):
        return self.cache

    def memory_bytes(self):
        return self.memory

    def yardstick(self):
        return make_yardstick()

    def active(self):
        return nullcontext()

    def time_layers(self, layers, xs):
        layers[0](xs[0])
        self.made += 1
        now = [0.0]

        def run(_counter):
            now[0] += 5e-6

        return Timing(Task(run, clock=lambda: now[0], shortest_s=1e-5), 9e-6)


@pytest.fixture
def bed(monkeypatch):
    found = PlantedBed()
    monkeypatch.setattr(_shape, "find_bed", lambda _name: found)
    monkeypatch.setattr(_shape, "MIN_SAMPLES", 2)
    monkeypatch.setattr(_shape, "BUDGET_S", 0.01)
    return found


def test_the_time_of_the_device_and_of_the_host_are_both_kept(bed):
    found = measure_shape(Shape(m=2, n=16, k=128), "cpu")
    assert found.measurements
    for measurement in found.measurements:
        assert measurement.median_s == pytest.approx(5e-6)
        assert measurement.host_s == 9e-6
        assert measurement.shared_input_s is None
    assert {m.cell.activation_dtype for m in found.measurements} == set(bed.compute_dtypes)
    assert ("FP16", "reference", "float16") in {
        (m.cell.scheme, m.cell.kernel, m.cell.activation_dtype) for m in found.measurements
    }


def test_a_layer_that_fails_when_it_runs_is_skipped_with_its_words(bed, monkeypatch):
    def fail(_layers, _xs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(bed, "time_layers", fail)
    found = measure_shape(Shape(m=2, n=16, k=128), "cpu")
    assert found.measurements == []
    assert any("does not run here: CUDA out of memory" in s.reason for s in found.skipped)


@pytest.mark.parametrize(
    ("cache", "memory", "m", "stored", "copies"),
    [
        (50 * 2**20, 80 * 2**30, 1, 2**23, 13),  # 4096 × 4096 in 4 bits: beyond twice the L2
        (4 * 2**20, 16 * 2**30, 1, 2**23, 2),
        (50 * 2**20, 4 * 2**30, 1, 2**23, 4),  # what memory allows
        (50 * 2**20, 80 * 2**30, 1, 2**11, 64),
        (50 * 2**20, 80 * 2**30, 512, 2**23, 2),
    ],
)
def test_weights_are_rotated_over_more_than_the_second_level_cache(
    cache, memory, m, stored, copies
):
    assert _shape._count_copies(Shape(m=m, n=8, k=8), stored, PlantedBed(cache, memory)) == copies


@pytest.mark.parametrize(
    ("unit", "capability", "card", "support"),
    [
        ("float32", "6.0", "P100", "native"),
        ("float16", "7.0", "V100", "native"),
        ("bfloat16", "7.5", "T4", "emulated"),
        ("bfloat16", "8.0", "A100", "native"),
        ("int8", "6.0", "P100", "emulated"),
        ("int8", "6.1", "P40", "native"),
        ("float8_e4m3fn", "8.0", "A100", "emulated"),
        ("float8_e4m3fn", "9.0", "H100", "native"),
        ("int8", "99.0", "Future", "native"),
    ],
)
def test_what_a_card_has_in_hardware(unit, capability, card, support):
    assert support_of(unit, capability, card) == support
