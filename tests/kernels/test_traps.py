"""What torch's weight-only products get wrong or do slowly on CPUs: each is a rule, and is shown to be real."""

import pytest
import torch

from qprobe.documents.scheme import SCHEMES
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.registry import get_kernel
from qprobe.kernels.torch_cpu import dequantize_blocks
from qprobe.quantize.scheme import dequantize_stored, quantize_weight
from tests.kernels.trapped import SECONDS, in_a_process, objection

FP32, BF16 = torch.float32, torch.bfloat16


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


def test_float8_is_multiplied_only_where_it_is_not_by_reference_code():
    kernel = get_kernel("cpu.scaled_mm")
    words = kernel.absent("cpu")
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
