"""Where the C++ kernels get no memory, the call fails, not the process."""

import shutil
import subprocess

import pytest

from qprobe.kernels.registry import get_kernel
from tests.kernels.trapped import in_a_process

NONE = "void* aligned_alloc(unsigned long alignment, unsigned long size) { return 0; }"
CALL = """
import torch
from torch import nn
from qprobe.documents.plan import KernelRange
from qprobe.documents.scheme import SCHEMES
from qprobe.kernels.registry import choose_algorithm, get_kernel
from qprobe.layers import make_layer
kernel, scheme = get_kernel({kernel!r}), SCHEMES[{scheme!r}]
ranges = (KernelRange(kernel=kernel.id, m_min=1, m_max=None),)
layer = make_layer(nn.Linear(256, 128), scheme, choose_algorithm(scheme, kernel), ranges, torch.bfloat16)
try:
    layer(torch.ones(64, 256, dtype=torch.bfloat16))
except MemoryError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("kernel", "scheme"),
    [
        ("cpu.gemm_amx", "W4A16"),
        ("cpu.gemm_avx512_bf16", "W4A16"),
        ("cpu.gemm_avx512_vnni", "W8A8"),
    ],
)
def test_no_memory_is_an_error_of_the_call(tmp_path, kernel, scheme):
    if words := get_kernel(kernel).absent("cpu"):
        pytest.skip(words)
    if shutil.which("g++") is None:
        pytest.skip("no g++ to build what refuses memory")
    none = tmp_path / "none.so"
    subprocess.run(
        ["g++", "-x", "c", "-", "-shared", "-fPIC", "-o", none],
        input=NONE, text=True, check=True,
    )  # fmt: skip
    status, said, errors = in_a_process(
        CALL.format(kernel=kernel, scheme=scheme), LD_PRELOAD=str(none)
    )
    assert (status, said.endswith("got no memory for 64 rows\n")) == (0, True), errors
