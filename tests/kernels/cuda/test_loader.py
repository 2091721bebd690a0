"""What stands in the way of launching kernels, in words; and one launch, on a planted driver."""

import sys
from types import SimpleNamespace

import pytest
import torch

from qprobe.kernels import gpus
from qprobe.kernels.cuda import loader
from qprobe.kernels.cuda.driver import Card


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, "CuPy is not installed: pip install cupy-cuda13x"),
        ({"cupy-cuda12x": "14.2.0", "cupy-cuda13x": "14.2.0"}, "2 CuPys overwrite each other"),
        ({"cupy-cuda11x": "13.6.0"}, "cupy-cuda11x 13.6.0 is older than 14"),
        ({"cupy-cuda13x": "14.2.0"}, ""),
        ({"cupy": "15.0.0b1"}, ""),
    ],
)
def test_the_installed_cupy_is_judged_by_its_name_and_version(monkeypatch, found, words):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    answer = loader.cupy_obstacle(found)
    assert words in answer
    assert bool(words) == bool(answer)


def test_for_the_oldest_cuda_the_oldest_cupy_that_serves_is_named(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "11.8")
    assert loader.cupy_obstacle({}) == "CuPy is not installed: pip install cupy-cuda12x"


def test_the_cupy_that_counts_is_the_one_that_is_imported(monkeypatch, tmp_path):
    for folder, name, version in (
        ("venv", "cupy_cuda13x", "14.2.0"),
        ("system", "cupy_cuda13x", "12.3.0"),
        ("system", "cupy_cuda12x", "12.3.0"),
    ):
        info = tmp_path / folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "venv"), str(tmp_path / "system")])
    assert loader.installed_cupys() == {"cupy-cuda13x": "14.2.0"}
    monkeypatch.setattr(sys, "path", [str(tmp_path / "system")])
    assert len(loader.installed_cupys()) == 2


def test_without_a_gpu_cupy_is_not_even_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # An import would raise.
    assert loader.CupyDriver().find_obstacle() == gpus.no_gpu() != ""


def plant_cupy(monkeypatch, **runtime):
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=SimpleNamespace(**runtime)))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(gpus, "no_gpu", lambda: "")
    monkeypatch.setattr(loader, "installed_cupys", lambda: {"cupy-cuda13x": "14.2.0"})
    return loader.CupyDriver()


def test_a_driver_that_is_too_old_is_told_in_its_own_words(monkeypatch):
    def insufficient():
        raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")

    words = plant_cupy(monkeypatch, getDeviceCount=insufficient).find_obstacle()
    assert "cudaErrorInsufficientDriver" in words
    assert "the CUDA that the driver goes up to" in words


def test_a_cupy_that_starts_is_no_obstacle(monkeypatch):
    driver = plant_cupy(monkeypatch, getDeviceCount=lambda: 1, driverGetVersion=lambda: 13000)
    assert driver.find_obstacle() == ""


def test_cards_are_those_of_torch_in_its_order(monkeypatch):
    facts = [("Tesla V100-SXM2-16GB", 80), ("NVIDIA A10G", 80)]
    monkeypatch.setattr(gpus, "all_capabilities", lambda: ((7, 0), (8, 6)))
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda i: SimpleNamespace(name=facts[i][0], multi_processor_count=facts[i][1]),
    )
    assert loader.CupyDriver().cards() == (
        Card(0, "Tesla V100-SXM2-16GB", "7.0", 80),
        Card(1, "NVIDIA A10G", "8.6", 80),
    )


@pytest.fixture
def planted(monkeypatch):
    """A launch of the copy on a card that keeps what the driver was told."""
    told, entered = [], []

    class Guard:
        def __init__(self, index):
            self.index = index

        def __enter__(self):
            entered.append(self.index)

        def __exit__(self, *_):
            entered.append("out")

    monkeypatch.setattr(
        torch._C, "_cuda_getCurrentRawStream", lambda index: 1000 + index, raising=False
    )
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device", Guard)

    def launch_on(index):
        driver = SimpleNamespace(
            launchKernel=lambda *arguments: told.append(arguments), ctxGetCurrent=lambda: 9
        )
        return loader._bind(driver, 77, "copy.cu", 256, 0, index)

    return launch_on, told, entered


def test_a_launch_goes_to_the_current_stream_of_its_card(planted):
    launch_on, told, entered = planted
    launch_on(1)((5, 2, 1), 4096)(None)
    assert told == [(77, 5, 2, 1, 256, 1, 1, 0, 1001, 4096, 0)]
    assert entered == []


def test_another_current_card_is_left_for_the_launch_alone(planted):
    launch_on, told, entered = planted
    launch_on(0)((1, 1, 1), 64)(None)
    assert told == [(77, 1, 1, 1, 256, 1, 1, 0, 1000, 64, 0)]
    assert entered == [0, "out"]


def test_a_card_that_no_compiler_builds_for_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr(loader, "_driver_cuda", lambda: (13, 0))
    card = Card(0, "Tesla V100-SXM2-16GB", "7.0", 80)
    from qprobe.kernels.cuda import nvrtc

    monkeypatch.setattr(nvrtc, "find_compilers", tuple)
    loader._build_obstacle.cache_clear()
    words = loader.CupyDriver().find_build_obstacle(card, ("dp4a",))
    loader._build_obstacle.cache_clear()
    assert "no NVRTC" in words
    assert "pip install nvidia-cuda-nvrtc-cu12" in words
