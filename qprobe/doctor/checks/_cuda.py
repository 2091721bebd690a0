"""Which CUDA, and so which torch and CuPy, suits the cards and the driver of a machine."""

from __future__ import annotations

from qprobe.doctor._check import version_of
from qprobe.documents.finding import Fix
from qprobe.documents.machine import Gpu, Machine

TURING = (7, 5)


def capability(gpu: Gpu) -> tuple[int, ...]:
    """(7, 0) for a V100; () when unknown, which compares as less than every card."""
    return version_of(gpu.compute_capability or "")


def is_before_turing(gpu: Gpu) -> bool:
    """Whether int8 tensor cores, and CUDA 13, are later than the card."""
    return bool(capability(gpu)) and capability(gpu) < TURING


def lacks_tensor_cores(gpu: Gpu) -> bool:
    """GTX 16xx: compute capability 7.5 without the tensor cores that the number promises."""
    return capability(gpu) == TURING and "GTX 16" in gpu.name


def runs_on_gpu(machine: Machine) -> bool:
    """Whether torch can use a GPU here, so that the CPU is not the device by default."""
    return any(device.startswith("cuda:") for device in machine.fingerprints)


def cuda_major(machine: Machine) -> int:
    """12 where a card or the driver is too old for CUDA 13, else 13."""
    driver = version_of(machine.software.cuda_driver or "13")
    old = any(is_before_turing(gpu) for gpu in machine.gpus) or driver < (13,)
    return 12 if old else 13


def torch_fix(machine: Machine, text: str) -> Fix:
    """Install a torch that suits this machine's cards and driver, if it has any."""
    command = 'pip install --force-reinstall "torch>=2.6"'
    if machine.gpus and cuda_major(machine) == 12:
        # CUDA 13 has no code before sm_75 and needs driver 580; 2.14 is the last torch for CUDA 12.
        command = (
            'pip install --force-reinstall "torch>=2.6,<2.15"'
            " --index-url https://download.pytorch.org/whl/cu126"
        )
    return Fix(text=text, commands=(command,), link="https://pytorch.org/get-started/locally/")
