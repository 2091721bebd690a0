"""Kernels that nobody has measured on a device are tried there, with the memory that there is."""

import contextlib
from dataclasses import replace

import pytest
import torch

from qprobe.apply import _fault, _fit, apply_plan, receipt_of
from qprobe.apply._fault import find_fault, forget
from qprobe.documents.plan import KernelRange
from qprobe.documents.scheme import SCHEMES
from qprobe.kernels import activations, registry
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.device import fingerprint
from qprobe.kernels.registry import all_kernels, choose_algorithm, get_kernel, kernels_for
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


def plan_of(bert, here=None, provenance="measured"):
    """A plan whose layers' times were come by in that way, for this machine or another."""
    made = section(dict.fromkeys(bert.groups(), decide("NONE", "cpu.onednn_linear")), here)
    linear = made.predicted.linear_seconds.model_copy(update={"provenance": provenance})
    expected = made.predicted.model_copy(update={"linear_seconds": linear})
    made = made.model_copy(update={"predicted": expected})
    plan = plan_for(bert, decide("NONE", "cpu.onednn_linear"), here=here)
    return plan.model_copy(update={"targets": {made.fingerprint.slug: made}})


def test_what_was_measured_on_this_machine_is_not_tried(module, bert, seen):
    apply_plan(plan_of(bert), module)
    assert not seen


def test_what_was_modelled_is_tried(module, bert, seen):
    apply_plan(plan_of(bert, provenance="modelled"), module)
    assert set(seen) == {"cpu.onednn_linear"}
    assert receipt_of(module).changes == ()


def test_what_was_measured_elsewhere_is_tried(module, bert, seen):
    here = fingerprint("cpu").model_copy(update={"slug": "cpu-other"})
    apply_plan(plan_of(bert, here), module)
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
    assert tried == [4096 + 7, 775, 263]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"
        ),
    ],
    ids=lambda error: type(error).__name__,
)
def test_for_want_of_memory_no_kernel_is_refused(error):
    """Not where it packs, either, whose words are others."""
    exact, calls = get_kernel("reference"), []

    def run_out(*_):
        calls.append(1)
        raise error

    for short in ({"pack": run_out}, {"run": run_out}):
        calls.clear()
        kernel = replace(exact, id="short", **short)
        assert find(1000, kernel=kernel) == ""
        assert len(calls) > 1
        assert find(1000, kernel=kernel, is_anew=False) == ""
        assert len(calls) > 3, "nothing was found out, so nothing is kept"


@pytest.mark.parametrize(
    ("n", "k", "tried"),
    [
        (1, 64, 1),
        (2**16, 64, 2**16),
        (2**16 + 16, 64, 2**16 - 240),
        (50257, 4096, 849),
        (5, 2**23, 5),
        (1000, 2**23, 488),
        (1024, 2**23, 256),
    ],
)
def test_of_a_large_layer_a_part_with_the_same_tail_is_tried(monkeypatch, n, k, tried):
    seen = []
    monkeypatch.setattr(_fault, "_try", lambda _kernel, spec, _rows: seen.append(spec) or "")
    assert find(n, k) == ""
    assert [(spec.n, spec.k) for spec in seen] == [(tried, k)]


@pytest.mark.parametrize("m_max", [None, 2**62])
def test_no_more_rows_are_tried_than_tell_anything(m_max):
    seen = []

    def listen(x, *rest):
        seen.append(len(x))
        return get_kernel("reference").run(x, *rest)

    assert find(32, kernel=planted(listen), m_min=7, m_max=m_max) == ""
    assert seen == [7, 307]


@pytest.mark.parametrize("n", [4097, 32])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_output_feature_that_is_wrong_is_found(n, dtype):
    """Among thousands it makes less of an error than rounding to bfloat16 does."""

    def drop(x, *rest):
        y = get_kernel("reference").run(x, *rest)
        y[..., -1] = 0
        return y

    assert "was tried: wrong numbers" in find(n, 256, kernel=planted(drop), dtype=dtype)
    assert find(n, 256, kernel=planted(get_kernel("reference").run), dtype=dtype) == ""


@pytest.mark.parametrize(
    "error", [ValueError("odd"), AttributeError("no such op"), OSError(2, "x"), IndexError("i")]
)
def test_whatever_it_raises_is_what_is_wrong(error):
    def fail(*_):
        raise error

    assert find(32, kernel=planted(fail)) == f"planted was tried: it does not run here: {error}"


@pytest.mark.parametrize("form", ["int8", "uint8"])
def test_a_quantizer_that_gives_wrong_codes_is_found(monkeypatch, form):
    """The layer and what it is compared with have one quantizer: it is compared with x."""

    def wrong(_quantizer, x, form):
        return torch.full(x.shape, 3, dtype=getattr(torch, form)), x.new_ones(*x.shape[:-1], 1)

    monkeypatch.setattr(activations, "find_quantizer", lambda: wrong)
    monkeypatch.setattr(activations, "quantize_rows", wrong)
    kernel = replace(get_kernel("reference"), id="coded", input=form)
    assert f"wrong codes: {form} codes are off by" in find(32, kernel=kernel, scheme="W8A8")


@contextlib.contextmanager
def put(value, ask, tell):
    """Something of torch's that is set for all, put back at the end."""
    before = ask()
    tell(value)
    try:
        yield
    finally:
        tell(before)


def default_dtype(dtype):
    return put(dtype, torch.get_default_dtype, torch.set_default_dtype)


def precision(name):
    return put(name, torch.get_float32_matmul_precision, torch.set_float32_matmul_precision)


def told_twice():
    """In both of the ways that torch has, behind which it will not say how."""
    here = torch.backends.mkldnn.matmul
    return put("bf16", lambda: here.fp32_precision, lambda v: setattr(here, "fp32_precision", v))


@pytest.mark.parametrize(
    "within",
    [
        lambda: default_dtype(torch.bfloat16),
        lambda: default_dtype(torch.float64),
        lambda: precision("medium"),
        lambda: precision("high"),
        told_twice,
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: torch.device("meta"),
        torch.inference_mode,
    ],
    ids=["bfloat16", "float64", "medium", "high", "twice", "autocast", "meta", "inference"],
)
def test_what_is_set_for_the_model_makes_no_difference(within):
    for kernel in kernels_for("cpu"):
        for scheme in sorted(kernel.schemes):
            code = SCHEMES[scheme].algorithms[choose_algorithm(SCHEMES[scheme], kernel)]
            spec = LayerSpec(scheme, 48, 128, torch.float32, code, "cpu")
            if kernel.objection(spec):
                continue
            forget()
            with within():
                words = find_fault(kernel, spec, KernelRange(kernel=kernel.id, m_min=1, m_max=None))
            assert words == "", (kernel.id, scheme)


@pytest.mark.parametrize("k", range(128, 4097, 128))
def test_a_single_number_that_cancels_is_not_wrong(k):
    assert find(1, k, kernel=planted(get_kernel("reference").run), dtype=torch.bfloat16) == ""


def test_a_kernel_that_is_wrong_in_its_first_range_is_wrong(monkeypatch):
    monkeypatch.setattr(
        _fit, "find_fault", lambda _kernel, _spec, rows: "bad" if rows.m_min == 1 else ""
    )
    ranges = [("cpu.onednn_linear", 1, 8), ("reference", 9, 64), ("cpu.onednn_linear", 65, None)]
    kernels = tuple(KernelRange(kernel=i, m_min=low, m_max=high) for i, low, high in ranges)
    spec = LayerSpec("NONE", 32, 64, torch.float32, 0, "cpu")
    assert _fit._find_faults(kernels, spec) == {"cpu.onednn_linear": "bad"}


def planted(run):
    """A kernel of its own that computes so."""
    return replace(get_kernel("reference"), id="planted", run=run)


def find(
    n, k=64, kernel=None, dtype=torch.float32, m_min=1, m_max=None, *, is_anew=True, scheme="W8A16"
):
    """What is found wrong with a kernel that stands in the registry, or with oneDNN's for plain weights."""
    if is_anew:
        forget()
    name, code = (scheme, 127) if kernel else ("NONE", 0)
    kernel = kernel or get_kernel("cpu.onednn_linear")
    rows = KernelRange(kernel=kernel.id, m_min=m_min, m_max=m_max)
    there = {**all_kernels(), kernel.id: kernel}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "all_kernels", lambda: there)
        return find_fault(kernel, LayerSpec(name, n, k, dtype, code, "cpu"), rows)
