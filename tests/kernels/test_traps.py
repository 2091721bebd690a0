"""What torch's operators get wrong or do slowly on CPUs: each is a rule, and is shown to be real."""

import os
import re
import subprocess
import sys

import pytest
import torch

from qprobe.documents.scheme import SCHEMES
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.activations import quantize_tokens
from qprobe.kernels.registry import get_kernel
from qprobe.kernels.torch_cpu import dequantize_blocks, fbgemm_dynamic
from qprobe.quantize.scheme import dequantize_stored, quantize_weight

FP32, BF16 = torch.float32, torch.bfloat16


def in_a_process(script, **environment):
    """Exit status and output of a script that may crash."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def objection(kernel, scheme, n, k, dtype, code=0):
    return get_kernel(kernel).objection(LayerSpec(scheme, n, k, dtype, code, "cpu"))


@pytest.mark.parametrize("offset", [1, 8, 16, 24, 31])
def test_weights_and_activations_may_begin_anywhere(offset):
    """torch's int8 product ends the process where they lie at an odd place, as in a mapped file."""
    n, k = 32, 64
    kernel = get_kernel("cpu.int8pack")
    spec = LayerSpec("W8A16", n, k, BF16, 127, "cpu")
    tensors = quantize_weight(torch.randn(n, k), SCHEMES["W8A16"], "rtn")
    room = torch.zeros(n * k + offset, dtype=torch.int8)
    moved = room[offset:].view(n, k).copy_(tensors["weight"])
    x = torch.randn(8 * k + 1).to(BF16)[1:].view(8, k)
    packed = kernel.pack(tensors | {"weight": moved}, spec)
    y = kernel.run(x, None, packed, None, BF16)
    assert torch.equal(y, kernel.run(x.clone(), None, kernel.pack(tensors, spec), None, BF16))


OUT_OF_BOUNDS = """
import torch
worst = 0.0
for k in (8, 24, 40, 1000):
    x, w = torch.ones(4, k, dtype=torch.bfloat16), torch.ones(64, k, dtype=torch.int8)
    y = torch._weight_int8pack_mm(x, w, torch.ones(64, dtype=torch.bfloat16)).float()
    worst = max(worst, float((y / k - 1).abs().max()))
print(worst)
"""


SECONDS = """
import time, torch
def seconds(call):
    found = []
    for _ in range(7):
        start = time.thread_time()
        call()
        found.append(time.thread_time() - start)
    return min(found)
"""
SLOW_TYPES = {
    "int4pack": SECONDS + """
codes = torch._convert_weight_to_int4pack_for_cpu(torch.ones(256, 256, dtype=torch.int32), 1)
def take(dtype):
    x, scales = torch.ones(16, 256, dtype=dtype), torch.ones(2, 256, 2, dtype=dtype)
    return seconds(lambda: torch._weight_int4pack_mm_for_cpu(x, codes, 128, scales))
print(take(torch.float32) / take(torch.bfloat16))
""",
    "int8pack": SECONDS + """
codes = torch.ones(256, 256, dtype=torch.int8)
def take(dtype):
    x, scales = torch.ones(32, 256, dtype=dtype), torch.ones(256, dtype=dtype)
    return seconds(lambda: torch._weight_int8pack_mm(x, codes, scales))
print(take(torch.float32) / take(torch.bfloat16))
""",
}  # fmt: skip


def test_int8pack_refuses_a_k_beyond_which_it_would_read():
    assert objection("cpu.int8pack", "W8A16", 64, 96, BF16) == ""
    assert "multiple of 16; K is 24" in objection("cpu.int8pack", "W8A16", 64, 24, BF16)


@pytest.mark.skipif(
    "AVX512" not in torch.backends.cpu.get_cpu_capability(), reason="other vectors, another tail"
)
def test_it_does_read_beyond_it():
    status, out, _ = in_a_process(OUT_OF_BOUNDS)
    assert status < 0 or not float(out) < 0.01, "the rule is no longer needed"


@pytest.mark.parametrize(
    ("kernel", "scheme"), [("cpu.int8pack", "W8A16"), ("cpu.int4pack", "W4A16")]
)
@pytest.mark.parametrize("dtype", [FP32, torch.float16])
def test_weight_only_products_refuse_what_they_compute_element_by_element(kernel, scheme, dtype):
    assert "10 to 600 times slower" in objection(kernel, scheme, 64, 128, dtype)
    assert objection(kernel, scheme, 64, 128, BF16) == ""


@pytest.mark.skipif(
    "AVX512" not in torch.backends.cpu.get_cpu_capability(), reason="bfloat16 is slow as well"
)
@pytest.mark.parametrize("product", SLOW_TYPES)
def test_they_are_slow_with_float32(product):
    """In processor time on one thread: whatever else runs does not count."""
    status, out, err = in_a_process(SLOW_TYPES[product], OMP_NUM_THREADS="1")
    assert status == 0, err
    assert float(out) > 4


def test_int4pack_refuses_rows_that_do_not_fill_its_blocks():
    assert "multiples of 16; N is 20" in objection("cpu.int4pack", "W4A16", 20, 128, BF16)
    with pytest.raises(RuntimeError):
        torch._convert_weight_to_int4pack_for_cpu(torch.zeros(20, 128, dtype=torch.int32), 1)


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
    if words := kernel.absent():
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
    if words := kernel.absent():
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
x, weight = torch.ones(1, 1024, dtype=torch.int8), torch.ones(1024, 1024, dtype=torch.int8)
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


def test_float8_is_multiplied_only_where_it_is_not_by_reference_code():
    kernel = get_kernel("cpu.scaled_mm")
    words = kernel.absent()
    if words:
        assert "times slower than float32" in words or "does not run here" in words
    if "does not run" in words:
        pytest.skip(words)
    weight = torch.randn(24, 40, generator=torch.Generator().manual_seed(0))
    scheme_tensors = quantize_weight(weight, SCHEMES["FP8_DYNAMIC"], "rtn")
    codes = torch.randn(3, 40, generator=torch.Generator().manual_seed(1)).to(torch.float8_e4m3fn)
    scale = torch.tensor([[0.5], [1.0], [2.0]])
    packed = tuple(scheme_tensors.values())
    y = kernel.run(codes, scale, packed, torch.ones(24), FP32)
    exact = (codes.float() * scale) @ dequantize_stored(packed, FP32).T + 1
    assert float((y - exact).norm() / exact.norm()) < 1e-5


@pytest.mark.parametrize("name", sorted(get_kernel("cpu.dequantize_blocks").schemes))
@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_never_a_whole_weight_in_floating_point(monkeypatch, name, dtype):
    n, k = 1030, 1024
    seen = []

    def recording(tensors, wanted):
        block = dequantize_stored(tensors, wanted)
        seen.append(block.numel() * block.element_size())
        return block

    monkeypatch.setattr(dequantize_blocks, "dequantize_stored", recording)
    monkeypatch.setattr(dequantize_blocks, "BLOCK_BYTES", 2**18)
    scheme = SCHEMES[name]
    weight = torch.randn(n, k, generator=torch.Generator().manual_seed(2))
    tensors = tuple(quantize_weight(weight, scheme, "rtn").values())
    x = torch.randn(5, k, generator=torch.Generator().manual_seed(3)).to(dtype)
    y = get_kernel("cpu.dequantize_blocks").run(x, None, tensors, None, dtype)
    exact = x.double() @ dequantize_stored(tensors, torch.float64).T
    assert float((y.double() - exact).norm() / exact.norm()) < (1e-5 if dtype == FP32 else 1e-2)
    assert max(seen) <= 2**18
    assert sum(seen) == n * k * dtype.itemsize
