"""Every kernel, found by listing the folders and the sources that hold them."""

from __future__ import annotations

import functools

from qprobe._discover import discover
from qprobe.documents.profile import KernelFact
from qprobe.documents.scheme import Scheme
from qprobe.errors import InputError
from qprobe.kernels import cpp, torch_cpu, torch_cuda
from qprobe.kernels._kernel import Kernel
from qprobe.kernels.cuda.kernels import cuda_kernels
from qprobe.kernels.reference import KERNEL as REFERENCE


@functools.cache
def all_kernels() -> dict[str, Kernel]:
    """Kernel id → kernel; `reference`, which computes everything everywhere, comes last."""
    kernels: tuple[Kernel, ...] = (
        *discover(cpp, "KERNEL"),
        *discover(torch_cpu, "KERNEL"),
        *cuda_kernels(),
        *discover(torch_cuda, "KERNEL"),
        REFERENCE,
    )
    return {kernel.id: kernel for kernel in kernels}


def get_kernel(kernel_id: str) -> Kernel:
    """The kernel of that id; raises InputError naming those that there are."""
    try:
        return all_kernels()[kernel_id]
    except KeyError:
        known = ", ".join(all_kernels())
        raise InputError(
            f"there is no kernel {kernel_id!r}; this qprobe has {known}",
            "re-plan with this version",
        ) from None


def kernels_for(device: str) -> tuple[Kernel, ...]:
    """The kernels that are written for a device ("cpu", "cuda:0") or its kind, able to run or not."""
    kind = device.partition(":")[0]
    return tuple(kernel for kernel in all_kernels().values() if kernel.device in (kind, "any"))


def choose_algorithm(scheme: Scheme, kernel: Kernel) -> str:
    """The algorithm with the largest codes that the kernel multiplies exactly here."""
    return scheme.choose_algorithm(kernel.max_code()) or next(iter(scheme.algorithms))


def kernel_facts(device: str) -> tuple[KernelFact, ...]:
    """What each kernel for this kind of device can do on this one, the best first."""
    return tuple(_fact(kernel, device) for kernel in kernels_for(device))


def _fact(kernel: Kernel, device: str) -> KernelFact:
    words = kernel.absent(device)
    return KernelFact(
        kernel=kernel.id,
        schemes=tuple(sorted(kernel.schemes)),
        packing=kernel.packing,
        available=not words,
        reason=words,
        max_code=kernel.max_code(),
        multiplies_codes=kernel.input != "float",
        dequantizes=kernel.dequantizes,
        unproven=kernel.unproven,
        min_rows=kernel.min_rows,
        max_rows=kernel.max_rows,
    )
