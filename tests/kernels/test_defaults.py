"""Kernels do not depend on torch's default type and device, which programs change."""

import ast
import contextlib
import copy
from pathlib import Path

import pytest
import torch
from torch import nn

import qprobe
from qprobe.documents.plan import KernelRange
from qprobe.documents.scheme import SCHEMES
from qprobe.kernels import activations
from qprobe.kernels.int8_self_test import int8_self_test
from qprobe.kernels.registry import choose_algorithm, kernels_for
from qprobe.kernels.torch_cpu import fbgemm_dynamic, scaled_mm
from qprobe.layers import make_layer

N, K = 48, 384
KERNELS = [
    pytest.param(kernel, scheme, id=f"{kernel.id}-{scheme}")
    for kernel in kernels_for("cpu")
    for scheme in sorted(kernel.schemes)
    if not kernel.absent("cpu")
]
FACTS = (int8_self_test, fbgemm_dynamic._worst_errors, scaled_mm._one, activations._kept_constant)


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


DEFAULTS = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "meta": lambda: torch.device("meta"),
}


@pytest.fixture(params=DEFAULTS)
def changed(request):
    """Enters another default; what a process finds out once is found out under it."""

    def forget():
        for fact in FACTS:
            fact.cache_clear()

    forget()
    yield DEFAULTS[request.param]
    forget()


def found_out():
    limits = fbgemm_dynamic._absent("cpu"), fbgemm_dynamic._max_code()
    one = scaled_mm._one()
    return int8_self_test(), *limits, one.dtype, one.device


def test_what_is_found_out_once_is_the_same(changed):
    expected = found_out()
    for fact in FACTS:
        fact.cache_clear()
    with changed():
        assert found_out() == expected


def use(kernel, name):
    """All that a layer is asked for: products, its state, copies and casts of it."""
    scheme = SCHEMES[name]
    generator = torch.Generator("cpu").manual_seed(0)
    linear = nn.Linear(K, N, device="cpu", dtype=torch.float32)
    drawn = {"generator": generator, "device": "cpu", "dtype": torch.float32}
    with torch.no_grad():
        linear.weight.copy_(torch.randn(N, K, **drawn))
        linear.bias.copy_(torch.randn(N, **drawn))
    ranges = (KernelRange(kernel=kernel.id, m_min=1, m_max=None),)
    x = torch.randn(21, K, **drawn).to(torch.bfloat16)
    layer = make_layer(linear, scheme, choose_algorithm(scheme, kernel), ranges, torch.bfloat16)
    found = {}
    with torch.no_grad():
        for rows in (1, 21):
            found[f"y of {rows}"] = layer(x[:rows])
        found |= layer.state_dict()
        found |= {
            f"{key} copied": value for key, value in copy.deepcopy(layer).state_dict().items()
        }
        found["y in float16"] = layer.to("cpu").half()(x.half())
    return found


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("kernel", "name"), KERNELS)
def test_a_layer_is_the_same(changed, kernel, name):
    expected = use(kernel, name)
    with changed():
        found = use(kernel, name)
    assert list(found) == list(expected)
    for key, tensor in expected.items():
        assert (found[key].device, found[key].dtype) == (tensor.device, tensor.dtype), key
        assert torch.equal(found[key], tensor), key


MAKERS = {"arange", "empty", "eye", "full", "linspace", "ones", "rand", "randint", "randn", "randperm", "tensor", "zeros"}  # fmt: skip


def test_every_new_tensor_is_told_its_device():
    package = Path(qprobe.__file__).parent
    paths = [path for part in ("kernels", "layers", "quantize", "apply") for path in (package / part).rglob("*.py")]  # fmt: skip
    untold = []
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="torch"), attr=name), keywords=words
                ):
                    if name in MAKERS and "device" not in {word.arg for word in words}:
                        untold.append(f"{path.relative_to(package)}:{node.lineno}: torch.{name}")
    assert len(paths) > 20
    assert untold == []
