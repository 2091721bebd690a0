"""The number of threads that was set holds in every thread of Python."""

import pytest

from qprobe.kernels.cpp._activations import find_quantizer
from qprobe.kernels.registry import get_kernel
from tests.kernels.trapped import in_a_process

CALL = """
import os, threading, torch
from qprobe.documents.scheme import SCHEMES
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.activations import quantize_tokens
from qprobe.kernels.registry import get_kernel
from qprobe.quantize.scheme import quantize_weight
torch.set_num_threads(1)
x = torch.ones(8, 1024, dtype=torch.bfloat16)
{prepare}
def count():
    return len(os.listdir("/proc/self/task"))
def call():
    before = count()
    {call}
    print("added", count() - before)
thread = threading.Thread(target=call)
thread.start()
thread.join()
"""
PREPARE = """
kernel, scheme = get_kernel({kernel!r}), {scheme!r}
assert not kernel.absent("cpu")
tensors = quantize_weight(torch.ones(256, 1024), SCHEMES[scheme], "rtn")
packed = kernel.pack(tensors, LayerSpec(scheme, 256, 1024, x.dtype, 127, "cpu"))
codes, scale = (x, None) if kernel.input == "float" else quantize_tokens(x, kernel.input)
"""


def threads_added(prepare, call):
    status, said, errors = in_a_process(
        CALL.format(prepare=prepare, call=call), OMP_NUM_THREADS="4"
    )
    assert status == 0, errors
    return said.strip()


@pytest.mark.parametrize(
    ("kernel", "scheme"),
    [
        ("cpu.gemv_avx512", "W4A16"),
        ("cpu.gemm_amx", "W4A16"),
        ("cpu.gemm_avx512_bf16", "W4A16"),
        ("cpu.gemm_avx512_vnni", "W8A8"),
    ],
)
def test_a_product_takes_no_more_threads(kernel, scheme):
    if words := get_kernel(kernel).absent("cpu"):
        pytest.skip(words)
    prepare = PREPARE.format(kernel=kernel, scheme=scheme)
    assert threads_added(prepare, "kernel.run(codes, scale, packed, None, x.dtype)") == "added 0"


@pytest.mark.skipif(find_quantizer() is None, reason="no C++ quantizer here")
def test_the_quantizer_takes_no_more_threads():
    assert (
        threads_added(
            'x = x.repeat(64, 1); quantize_tokens(x, "int8")', 'quantize_tokens(x, "int8")'
        )
        == "added 0"
    )
