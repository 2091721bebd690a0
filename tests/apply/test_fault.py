"""Kernels that nobody has measured on a device are tried there, with the memory that there is."""

import pytest
import torch

from qprobe.apply import _fault, _fit, apply_plan, receipt_of
from qprobe.apply._fault import find_fault
from qprobe.documents.plan import KernelRange
from qprobe.documents.scheme import SCHEMES
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.device import fingerprint
from qprobe.kernels.registry import all_kernels, choose_algorithm
from tests.plans import decide, plan_for, section

CASES = [
    pytest.param(kernel, SCHEMES[scheme], id=f"{kernel.id}-{scheme}")
    for kernel in all_kernels().values()
    for scheme in sorted(kernel.schemes)
    if kernel.device != "cuda"
]


@pytest.fixture
def seen(monkeypatch):
    """The kernels that were tried."""
    found = []

    def listen(kernel, *_):
        found.append(kernel.id)
        return ""

    monkeypatch.setattr(_fit, "find_fault", listen)
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("kernel", "scheme"), CASES)
def test_kernels_of_the_processor_are_right_here(kernel, scheme, dtype):
    code = scheme.algorithms[choose_algorithm(scheme, kernel)]
    spec = LayerSpec(scheme.name, 50, 128, dtype, code, "cpu")
    if words := kernel.objection(spec):
        pytest.skip(words)
    rows = KernelRange(kernel=kernel.id, m_min=1, m_max=kernel.max_rows)
    assert find_fault(kernel, spec, rows) == ""


def planned(bert, here=None, provenance="measured"):
    """A plan whose layers' times were come by in that way, for this machine or another."""
    made = section(dict.fromkeys(bert.groups(), decide("NONE", "cpu.onednn_linear")), here)
    linear = made.predicted.linear_seconds.model_copy(update={"provenance": provenance})
    expected = made.predicted.model_copy(update={"linear_seconds": linear})
    made = made.model_copy(update={"predicted": expected})
    plan = plan_for(bert, decide("NONE", "cpu.onednn_linear"), here=here)
    return plan.model_copy(update={"targets": {made.fingerprint.slug: made}})


def test_what_was_measured_on_this_machine_is_not_tried(module, bert, seen):
    apply_plan(planned(bert), module)
    assert not seen


def test_what_was_modelled_is_tried(module, bert, seen):
    apply_plan(planned(bert, provenance="modelled"), module)
    assert set(seen) == {"cpu.onednn_linear"}
    assert receipt_of(module).changes == ()


def test_what_was_measured_elsewhere_is_tried(module, bert, seen):
    here = fingerprint("cpu").model_copy(update={"slug": "cpu-other"})
    apply_plan(planned(bert, here), module)
    assert set(seen) == {"cpu.onednn_linear"}


def test_where_memory_is_short_a_smaller_layer_is_tried(monkeypatch):
    tried = []

    def run_out(_kernel, spec, _rows):
        tried.append(spec.n)
        if spec.n > 500:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return ""

    monkeypatch.setattr(_fault, "_try", run_out)
    assert find(4096) == ""
    assert tried == [4096, 1024, 256]
    tried.clear()
    assert find(4096 + 7) == ""
    assert tried == [4096 + 7, 775, 7]


@pytest.mark.parametrize(
    ("n", "k", "tried"),
    [
        (1, 64, 1),
        (2**16, 64, 2**16),
        (2**16 + 16, 64, 2**16 - 240),
        (50257, 4096, 849),
        (5, 2**23, 5),
        (1000, 2**23, 232),
        (1024, 2**23, 256),
    ],
)
def test_of_a_large_layer_a_part_with_the_same_tail_is_tried(monkeypatch, n, k, tried):
    seen = []
    monkeypatch.setattr(_fault, "_try", lambda _kernel, spec, _rows: seen.append(spec) or "")
    assert find(n, k) == ""
    assert [(spec.n, spec.k) for spec in seen] == [(tried, k)]


def test_where_there_is_no_memory_at_all_that_is_what_is_wrong(monkeypatch):
    def run_out(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB")

    monkeypatch.setattr(_fault, "_try", run_out)
    assert find(300) == (
        "cpu.onednn_linear was tried: it does not run here: CUDA out of memory. Tried to allocate 2.00 MiB"
    )


def find(n, k=64):
    find_fault.cache_clear()
    kernel = all_kernels()["cpu.onednn_linear"]
    spec = LayerSpec("NONE", n, k, torch.float32, 0, "cpu")
    return find_fault(kernel, spec, KernelRange(kernel=kernel.id, m_min=1, m_max=None))
