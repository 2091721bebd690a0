"""Layers on a card: by rows, compiled, in graphs, on other streams and devices, differentiated."""

import pytest
import torch

from qprobe.apply._fault import forget
from qprobe.apply._fit import fit_kernels
from qprobe.documents.scheme import SCHEMES
from qprobe.errors import UnavailableError
from qprobe.kernels.cuda import _ready
from qprobe.kernels.cuda.kernels import cuda_kernels
from qprobe.kernels.registry import get_kernel
from qprobe.layers._verification import check_layer
from tests.gpu.products import LIMITS, make_layer_of, make_product
from tests.gpu.sanitized import IN_PARTS, can_split
from tests.plans import decide

DTYPE = torch.float16


def families():
    """One layer of each packing of ours, by all its kernels that this card runs."""
    found = {}
    for kernel in cuda_kernels():
        for scheme in sorted(kernel.schemes)[:1]:
            found.setdefault((kernel.packing, scheme), []).append(kernel.id)
    return [pytest.param((ids, scheme), id=f"{p}-{scheme}") for (p, scheme), ids in found.items()]


@pytest.fixture(params=families())
def layer(request, device):
    ids, scheme = request.param
    spec = make_product(get_kernel("reference"), scheme, DTYPE, 1, 192, 512, device).spec
    usable = [get_kernel(i) for i in ids if not get_kernel(i).objection(spec)]
    if not usable:
        pytest.skip(get_kernel(ids[0]).objection(spec))
    few = [k for k in usable if k.max_rows is not None]
    rest = [k for k in usable if k.max_rows is None] or few[-1:]
    chain = [(k.id, k.max_rows) for k in sorted(few, key=lambda k: k.max_rows) if k not in rest]
    return make_layer_of([*chain, (rest[0].id, None)], scheme, 192, 512, DTYPE, device)


def expect(layer, x):
    return x.double() @ layer.dequantize(torch.float64).T + layer.bias.double()


def close(layer, x, y):
    """int8 layers round x as well: their limit is that of 8 bits."""
    limit = LIMITS[DTYPE] if layer.scheme.input_activations is None else 2e-2
    exact = expect(layer, x)
    return float((y.double() - exact).norm()) <= limit * float(exact.norm())


@pytest.mark.parametrize("lead", [(), (1,), (2, 3), (9,), (40,), (200,), (0,)], ids=str)
def test_any_number_of_rows(layer, device, lead):
    x = torch.randn(*lead, 512, device=device, dtype=DTYPE)
    with torch.no_grad():
        y = layer(x)
    assert y.shape == (*lead, 192)
    assert not y.numel() or close(layer, x, y)


def test_a_graph_computes_what_it_is_fed_later(layer, device):
    for rows in (1, 16, 130):
        static = torch.randn(rows, 512, device=device, dtype=DTYPE)
        with torch.no_grad():
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                layer(static)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                y = layer(static)
            for seed in range(3):
                torch.manual_seed(seed)
                static.copy_(torch.randn_like(static))
                graph.replay()
                torch.cuda.synchronize()
                assert close(layer, static, y)
                assert torch.equal(y, layer(static))


@pytest.mark.parametrize("kernel", [k for k in cuda_kernels() if can_split(k)], ids=lambda k: k.id)
def test_graphs_that_sum_parts_of_k_run_beside_each_other(device, kernel):
    """And beside the same kernel in no graph: none of them counts the blocks of another."""
    product = make_product(kernel, sorted(kernel.schemes)[0], DTYPE, *IN_PARTS, device)
    if product.objection:
        pytest.skip(product.objection)
    packed, (x, scale) = kernel.pack(product.tensors, product.spec), product.operands()

    def run():
        return kernel.run(x, scale, packed, product.bias, DTYPE)

    wanted, found = run(), []
    streams = [torch.cuda.Stream() for _ in range(3)]
    for _ in streams[1:]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            found.append((graph, run()))
    for _ in range(50):
        for _, y in found:
            y.zero_()
        torch.cuda.synchronize()
        for stream, (graph, _) in zip(streams[1:], found, strict=True):
            with torch.cuda.stream(stream):
                graph.replay()
        with torch.cuda.stream(streams[0]):
            beside = run()
        torch.cuda.synchronize()
        assert all(torch.equal(y, wanted) for y in (beside, *(y for _, y in found)))


def test_two_layers_captured_on_one_input_both_quantize_it(layer, device):
    """Codes from before the capture must not be baked into the graph."""
    static = torch.randn(4, 512, device=device, dtype=DTYPE)
    with torch.no_grad():
        layer(static)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            first, second = layer(static), layer(static)
        static.copy_(torch.randn_like(static))
        graph.replay()
        assert close(layer, static, first)
        assert torch.equal(first, second)


def test_other_streams(layer, device):
    side = torch.cuda.Stream()
    with torch.no_grad():
        for seed in range(5):
            torch.manual_seed(seed)
            x = torch.randn(4, 512, device=device, dtype=DTYPE)
            here = layer(x)
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                torch.cuda._sleep(1_000_000)
                late = x * 2
                there = layer(late)
            torch.cuda.current_stream().wait_stream(side)
            assert close(layer, x, here)
            assert close(layer, late, there)


def test_compiled_it_is_one_graph(layer, device):
    torch._dynamo.reset()  # It compiles one function for so many kinds of layers, and then no more.
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        for rows in (3, 40):
            x = torch.randn(rows, 512, device=device, dtype=DTYPE)
            assert close(layer, x, compiled(x))


# Torch says so of its own code where inductor is first imported (torch/utils/mkldnn.py).
@pytest.mark.filterwarnings(
    r"ignore:`torch\.jit\.script_method` is:DeprecationWarning:torch\.jit\._script"
)
@pytest.mark.parametrize(("m", "n", "k"), [(3, 192, 512), (1, 1024, 4096)])
@pytest.mark.parametrize("kernel", ["cuda.gemv_w4a16", "cuda.gemm_s8_mma"])
def test_compiled_by_inductor_into_cuda_graphs(device, kernel, m, n, k):
    """Of the longer K parts are added up, with counters that must not be made in the compiler's own run."""
    found = get_kernel(kernel)
    scheme = sorted(found.schemes)[0]
    layer = make_layer_of([(kernel, None)], scheme, n, k, DTYPE, device)
    torch._dynamo.reset()  # It compiles one function for so many kinds of layers, and then no more.
    compiled = torch.compile(layer, fullgraph=True, mode="reduce-overhead")
    with torch.no_grad():
        for _ in range(4):
            x = torch.randn(m, k, device=device, dtype=DTYPE)
            assert close(layer, x, compiled(x).clone())


def test_the_gradient_of_the_input(layer, device):
    x = torch.randn(3, 512, device=device, dtype=DTYPE, requires_grad=True)
    layer(x).sum().backward()
    exact = layer.dequantize(torch.float64).sum(0)
    assert float((x.grad[0].double() - exact).norm()) <= LIMITS[DTYPE] * float(exact.norm())


def test_awkward_memory(layer, device):
    wide = torch.randn(5, 1200, device=device, dtype=DTYPE)
    flat = torch.randn(5 * 512 + 1, device=device, dtype=DTYPE)
    with torch.no_grad():
        for x in (wide[:, 1:513], wide[:, ::2][:, :512], flat[1:].reshape(5, 512)):
            assert close(layer, x, layer(x))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_in_its_row(layer, device, value):
    x = torch.randn(20, 512, device=device, dtype=DTYPE)
    x[3, 77] = value
    with torch.no_grad():
        y = layer(x)
    assert not y[3].isfinite().any()
    assert y[[*range(3), *range(4, 20)]].isfinite().all()


@pytest.mark.parametrize("n", [192, 70, 40000], ids="N = {}".format)
@pytest.mark.parametrize("scheme", [name for name, s in SCHEMES.items() if s.is_quantized])
def test_nothing_is_wrong_with_what_stands_in(device, scheme, n):
    """A plan for another device names kernels that this one has not; those for any number of rows are tried."""
    forget()
    found = fit_kernels(decide(scheme, "cpu.onednn_linear"), n, 512, DTYPE, str(device))
    assert " was tried: " not in found.change
    ranges = [(item.kernel, item.m_max) for item in found.kernels]
    layer = make_layer_of(ranges, scheme, n, 512, DTYPE, device)
    for rows in (1, 7, 16, 40, 300):
        x = torch.randn(rows, 512, device=device, dtype=DTYPE)
        with torch.no_grad():
            assert check_layer(layer._select(x), layer, x, layer(x)) == ""


def test_more_rows_than_one_launch_takes(layer, device, monkeypatch):
    monkeypatch.setattr(_ready, "most_rows", lambda *_: 7)
    _ready.forget()
    x = torch.randn(200, 512, device=device, dtype=DTYPE)
    with torch.no_grad():
        assert close(layer, x, layer(x))


def test_so_many_rows_that_y_has_more_than_2_to_the_31_elements(device):
    free, _ = torch.cuda.mem_get_info(device)
    rows, n, k = 2**21 + 5, 1100, 128
    if free < 3 * rows * (n + k) * 2:
        pytest.skip(f"it takes {3 * rows * (n + k) * 2 / 2**30:.0f} GiB of memory")
    for kernel in cuda_kernels():
        scheme = sorted(kernel.schemes)[0]
        product = make_product(kernel, scheme, DTYPE, 2, n, k, device)
        if product.objection or kernel.max_rows is not None:
            continue
        packed = kernel.pack(product.tensors, product.spec)
        x = product.x.repeat(rows // 2 + 1, 1)[:rows]
        product.x = x
        codes, scale = product.operands()
        y = kernel.run(codes, scale, packed, product.bias, DTYPE)
        product.x = x[-2:]
        assert product.error(y[-2:]) <= LIMITS[DTYPE], kernel.id
        del x, y, codes, scale
        torch.cuda.empty_cache()


@pytest.mark.parametrize("left_mib", [32, 160, 288, 544])
def test_memory_that_runs_out_while_packing_leaves_the_layer_whole(device, left_mib):
    """Packed anew for another type, the layer needs its weight of 128 MiB as it is stored, then packed, then more."""
    ids = [("cuda.gemv_w8a16", 8), ("cuda.dequantize_w8", None)]
    layer = make_layer_of(ids, "W8A16", 16384, 8192, DTYPE, device)
    x = torch.randn(2, 8192, device=device, dtype=DTYPE)
    state = {name: tensor.cpu() for name, tensor in layer.state_dict().items()}
    with torch.no_grad():
        before = layer(x)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    hog = torch.empty(max(0, free - left_mib * 2**20), dtype=torch.uint8, device=device)
    failed = False
    try:
        layer.to(torch.bfloat16)
    except (torch.OutOfMemoryError, UnavailableError):
        failed = True
    del hog
    torch.cuda.empty_cache()
    assert failed or left_mib > 128, "there was memory for the weight where there should be none"
    for name, tensor in layer.state_dict().items():
        assert torch.equal(tensor.cpu(), state[name].to(tensor.dtype)), name
    with torch.no_grad():
        after = layer(x)
    if failed and layer.compute_dtype == DTYPE:
        assert torch.equal(after, before)
    assert float((after - before).norm()) <= LIMITS[torch.bfloat16] * float(before.norm())


def test_a_second_device(layer, device):
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU")
    other = torch.device("cuda", 1)
    with torch.no_grad():
        x = torch.randn(4, 512, device=device, dtype=DTYPE)
        here = layer(x)
        moved = layer.to(other)
        assert torch.cuda.current_device() == device.index
        there = moved(x.to(other))
        assert there.device == other
        assert close(moved, x.to(other), there)
        assert torch.allclose(here.cpu(), there.cpu(), atol=1e-2)
        with pytest.raises(ValueError, match="the weight of the layer on"):
            moved(x)


def test_the_processor_and_back(layer, device):
    x = torch.randn(4, 512, device=device, dtype=DTYPE)
    with torch.no_grad():
        before = layer(x)
        there = layer.to("cpu")
        assert close(there, x.cpu(), there(x.cpu()))
        again = there.to(device)
        assert close(again, x, again(x))
        assert before.shape == again(x).shape
