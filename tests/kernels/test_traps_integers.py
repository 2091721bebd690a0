"""What torch's products of 8-bit codes get wrong or do slowly on CPUs: each is a rule, and is shown to be real."""

import re

import pytest
import torch

from qprobe.documents.scheme import SCHEMES
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.activations import quantize_tokens
from qprobe.kernels.registry import get_kernel
from qprobe.kernels.torch_cpu import fbgemm_dynamic
from qprobe.quantize.scheme import quantize_weight
from tests.kernels.trapped import SECONDS, in_a_process, objection

FP32 = torch.float32

SATURATION = """
import torch
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.registry import get_kernel
w, x = torch.full((32, 256), 127, dtype=torch.int8), torch.full((16, 256), 127, dtype=torch.int8)
print(int(torch._int_mm(x, w.t())[0, 0]) == 127 * 127 * 256)
for kernel in ("cpu.int_mm", "cpu.onednn_qlinear_u8", "cpu.onednn_qlinear"):
    for code in (127, 63):
        spec = LayerSpec("W8A8", 32, 256, torch.float32, code, "cpu")
        print(kernel, code, get_kernel(kernel).objection(spec) or "accepts")
"""


def test_without_vnni_full_codes_are_wrong_and_refused():
    status, out, err = in_a_process(SATURATION, ONEDNN_MAX_CPU_ISA="AVX2")
    assert status == 0, err
    right, *rules = out.splitlines()
    said = {tuple(line.split(maxsplit=2)[:2]): line.split(maxsplit=2)[2] for line in rules}
    if right == "True":
        pytest.skip("this processor's 8-bit products do not saturate even so")
    for kernel in ("cpu.int_mm", "cpu.onednn_qlinear_u8"):
        assert "multiplies codes up to" in said[kernel, "127"]
        assert said[kernel, "63"] == "accepts"


def test_where_fbgemm_cuts_its_sums_only_short_codes_are_taken(monkeypatch):
    monkeypatch.setattr(fbgemm_dynamic, "_worst_errors", lambda: (0.2, 0.0))
    assert "up to 63" in objection("cpu.fbgemm_dynamic", "W8A8", 32, 256, FP32, 127)
    assert objection("cpu.fbgemm_dynamic", "W8A8", 32, 256, FP32, 63) == ""
    monkeypatch.setattr(fbgemm_dynamic, "_worst_errors", lambda: (0.2, 0.1))
    assert "wrong here" in objection("cpu.fbgemm_dynamic", "W8A8", 32, 256, FP32, 63)


def test_each_row_has_its_own_scale_although_torch_gives_fbgemm_one():
    kernel = get_kernel("cpu.fbgemm_dynamic")
    if words := kernel.absent("cpu"):
        pytest.skip(words)
    spec = LayerSpec("W8A8", 24, 96, FP32, 127, "cpu")
    weight = torch.randn(24, 96, generator=torch.Generator().manual_seed(0))
    tensors = quantize_weight(weight, SCHEMES["W8A8"], "rtn")
    x = torch.randn(2, 96, generator=torch.Generator().manual_seed(1))
    x[1] *= 1000
    packed = kernel.pack(tensors, spec)
    exact = x @ (tensors["weight"] * tensors["weight_scale"]).T
    engine = torch.backends.quantized.engine
    ours = kernel.run(*quantize_tokens(x, kernel.input), packed, None, FP32)
    held = fbgemm_dynamic._held[packed[0].data_ptr()]
    theirs = torch.ops.quantized.linear_dynamic(x, held)
    errors = [float((y - exact)[0].norm() / exact[0].norm()) for y in (ours, theirs)]
    assert errors[0] < 0.02 < 0.9 < errors[1]
    assert torch.backends.quantized.engine == engine


def test_what_fbgemm_holds_goes_with_the_layer():
    kernel = get_kernel("cpu.fbgemm_dynamic")
    if words := kernel.absent("cpu"):
        pytest.skip(words)
    before = len(fbgemm_dynamic._held)
    tensors = quantize_weight(torch.randn(8, 16), SCHEMES["W8A8"], "rtn")
    packed = kernel.pack(tensors, LayerSpec("W8A8", 8, 16, FP32, 127, "cpu"))
    assert len(fbgemm_dynamic._held) == before + 1
    del packed
    assert len(fbgemm_dynamic._held) == before


def test_without_amx_signed_activations_are_refused():
    for isa in ("AVX2", "AVX512_CORE_VNNI"):
        _, out, _ = in_a_process(SATURATION, ONEDNN_MAX_CPU_ISA=isa)
        (line,) = [line for line in out.splitlines() if line.startswith("cpu.onednn_qlinear 63")]
        assert "without AMX" in line


REFERENCE_CODE = """
import torch
weight = torch.ops.onednn.qlinear_prepack(torch.ones(32, 64, dtype=torch.int8), None)
for dtype, zero_point in ((torch.int8, 0), (torch.uint8, 128)):
    print(dtype, flush=True)
    x = torch.ones(8, 64).to(dtype)
    torch.ops.onednn.qlinear_pointwise.default(
        x, 1.0, zero_point, weight, torch.ones(32), torch.zeros(32, dtype=torch.int64), None,
        1.0, 0, torch.float32, "none", [], "",
    )
"""


def test_without_amx_signed_activations_are_multiplied_by_reference_code():
    """As oneDNN itself says of each product that it computes."""
    told = {"ONEDNN_VERBOSE": "1", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}
    status, out, err = in_a_process(REFERENCE_CODE, **told)
    assert status == 0, err
    _, signed, unsigned = re.split(r"^torch\.u?int8$", out, flags=re.MULTILINE)
    products = [
        [line for line in part.splitlines() if ",exec,cpu,matmul," in line]
        for part in (signed, unsigned)
    ]
    assert all(products), out
    assert "ref_int8" in products[0][-1]
    assert "ref" not in products[1][-1].split(",")[5]


INT_MM = """
import torch
for m, n in ((1, 1), (4, 8), (32, 32), (17, 33)):
    x = torch.randint(-127, 128, (m, 1), dtype=torch.int8)
    weight = torch.randint(-127, 128, (n, 1), dtype=torch.int8)
    exact = x.int() @ weight.t().int()
    print(torch.equal(torch._int_mm(x, weight.t()), exact))
"""


def test_the_integer_product_refuses_the_one_k_at_which_it_is_wrong():
    assert "wrong for K = 1" in objection("cpu.int_mm", "W8A8", 64, 1, FP32)
    status, out, _ = in_a_process(INT_MM)
    assert status != 0 or "False" in out, "the rule is no longer needed"


COPIES = (
    SECONDS
    + """
x, weight = torch.ones(1, 4096, dtype=torch.int8), torch.ones(4096, 4096, dtype=torch.int8)
view, copy = weight.t(), weight.t().contiguous()
print(seconds(lambda: torch._int_mm(x, copy)) / seconds(lambda: torch._int_mm(x, view)))
"""
)


def test_the_integer_product_reads_the_weight_as_it_is_stored(monkeypatch):
    """A transposed view of (N, K): a copy as (K, N) takes the time of the copy, and is slower besides."""
    kernel = get_kernel("cpu.int_mm")
    if words := kernel.objection(LayerSpec("W8A8", 24, 96, FP32, 63, "cpu")):
        pytest.skip(words)
    tensors = quantize_weight(torch.randn(24, 96), SCHEMES["W8A8"], "rtn")
    packed = kernel.pack(tensors, LayerSpec("W8A8", 24, 96, FP32, 127, "cpu"))
    seen = []
    exact = torch._int_mm
    monkeypatch.setattr(torch, "_int_mm", lambda x, w: seen.append(w) or exact(x, w))
    kernel.run(*quantize_tokens(torch.randn(3, 96), kernel.input), packed, None, FP32)
    (weight,) = seen
    assert (weight.shape, weight.stride()) == ((96, 24), (1, 96))
    assert weight.data_ptr() == packed[0].data_ptr()


@pytest.mark.skipif(
    "AVX512" not in torch.backends.cpu.get_cpu_capability(), reason="measured with AVX512 only"
)
def test_a_copy_of_it_is_slower_for_one_row():
    status, out, err = in_a_process(COPIES, OMP_NUM_THREADS="1")
    assert status == 0, err
    assert float(out) > 1.2
