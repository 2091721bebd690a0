"""The loader on a live card: its streams, its cache on disk, several processes, several threads."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from qprobe.kernels.cuda import loader
from qprobe.kernels.cuda.launch import Call
from qprobe.kernels.cuda.portfolio import all_sources
from qprobe.kernels.cuda.probes import copy_on, list_peaks
from tests.gpu.products import make_layer_of

ROOT = Path(__file__).resolve().parents[2]


def test_the_copy_copies_every_byte(device):
    for size in (16, 4096, 2**20 + 16, 2**28):
        source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=device)
        target = torch.zeros_like(source)
        copy_on(source, target)
        assert torch.equal(source, target)


def test_a_launch_goes_behind_the_work_of_its_stream(device):
    side = torch.cuda.Stream()
    source = torch.zeros(2**24, dtype=torch.uint8, device=device)
    target = torch.full_like(source, 7)
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(50_000_000)
        source.fill_(3)
        copy_on(source, target)
    side.synchronize()
    assert bool((target == 3).all())


def test_a_launch_neither_allocates_nor_waits(device):
    source = torch.zeros(2**20, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    call = Call(all_sources()["copy"], "", device.index, {"n": 2**16}, ("x", "y"))
    call.run(source, target)
    torch.cuda.synchronize()
    before = torch.cuda.memory_stats(device)["allocation.all.allocated"]
    torch.cuda._sleep(200_000_000)
    call.run(source, target)
    assert not torch.cuda.current_stream().query()
    assert torch.cuda.memory_stats(device)["allocation.all.allocated"] == before


def test_every_unit_is_probed_and_gives_the_known_answer(device):
    found = list_peaks(device)
    assert found
    assert [words for probe in found if (words := probe.find_fault())] == []
    for probe in found:
        probe.run()
    torch.cuda.synchronize()


def test_every_build_for_this_card_compiles_and_loads(device):
    """Whatever the policy chooses, no layer meets a compiler error in service."""
    from tests.gpu.compiling import builds_for

    found = list(builds_for(loader.CUPY.cards()[device.index]))
    assert found
    for source, build in found:
        loader.CUPY.load(source, build.name, device.index)


SCRIPT = """
import torch
from qprobe.kernels.registry import get_kernel
from tests.gpu.products import make_product
product = make_product(get_kernel("cuda.gemv_w4a16"), "W4A16", torch.float16, 2, 64, 256, torch.device("cuda", 0))
print(product.error(product.run()) < 1e-3)
"""


def run_script(cache):
    environment = os.environ | {
        "QPROBE_CACHE": str(cache),
        "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
    }
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_compile_at_once_and_a_corrupt_cache_is_made_anew(device, tmp_path):
    both = [run_script(tmp_path) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert out.strip() == "True", err
    kept = list((tmp_path / "cubins").glob("*.cubin"))
    assert kept
    for path in kept:
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
    out, err = run_script(tmp_path).communicate(timeout=120)
    assert out.strip() == "True", err


def test_threads_have_launches_of_their_own(device):
    layer = make_layer_of([("cuda.gemv_w4a16", None)], "W4A16", 512, 1024, torch.float16, device)
    xs = [torch.randn(2, 1024, device=device, dtype=torch.float16) for _ in range(4)]
    with torch.no_grad():
        exact = [layer(x).clone() for x in xs]
    wrong = []

    def work(index):
        with torch.no_grad(), torch.cuda.stream(torch.cuda.Stream()):
            for _ in range(200):
                if not torch.equal(layer(xs[index]), exact[index]):
                    wrong.append(index)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    torch.cuda.synchronize()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("form", ["int8"])
def test_the_quantizer_gives_what_torch_gives(device, form):
    from qprobe.kernels.activations import quantize_tokens
    from qprobe.kernels.cuda import quantizer

    for shape in ((1, 1), (3, 97), (2, 5, 4096), (64, 11008)):
        for dtype in (torch.float16, torch.bfloat16, torch.float32):
            x = torch.randn(shape, device=device).to(dtype)
            x[..., 0] *= 30
            assert quantizer.can_quantize(x, form)
            codes, scales = quantize_tokens(x, form)
            exact_codes, exact_scales = quantize_tokens(x.cpu(), form)
            assert torch.allclose(scales.cpu(), exact_scales, rtol=1e-6)
            assert (codes.cpu().int() - exact_codes.int()).abs().max() <= 1
            assert (codes.cpu() != exact_codes).float().mean() < 1e-3


def test_older_builds_of_a_kernel_run_here_as_well(device, monkeypatch):
    from tests.gpu.older_builds import run_build, runnable_builds

    card, tried = loader.CUPY.cards()[device.index], 0
    for kernel, source, build in runnable_builds(card):
        error, limit = run_build(kernel, source, build, device, monkeypatch)
        assert error <= limit, (kernel.id, build.name)
        tried += 1
    assert tried
