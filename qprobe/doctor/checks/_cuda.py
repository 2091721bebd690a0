"""Which CUDA, and so which torch and CuPy, suits the cards and the driver of a machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from qprobe.doctor._check import version_of
from qprobe.doctor.rules.torch import CU118, CU126, CU126_HOPPER, CU128, CU128_VOLTA
from qprobe.documents import arch
from qprobe.documents.finding import Fix
from qprobe.documents.machine import NONE_LISTED, Gpu, Machine

LAST_KEPLER = (3, 7)
MAXWELL = (5, 0)
VOLTA = (7, 0)
TURING = (7, 5)
HOPPER = (9, 0)
BLACKWELL = (10, 0)
DRIVER_OF_11 = (450, 80, 2)
"""The first on Linux that the builds of torch for CUDA 11.8 run on."""
# NVML's words where no driver is installed: nothing is wrong with such a machine.
NO_DRIVER = ("NVML Shared Library Not Found", "Driver Not Loaded")


def capability(gpu: Gpu) -> tuple[int, ...]:
    """(7, 0) for a V100; () when unknown, which compares as less than every card."""
    return version_of(gpu.compute_capability or "")


def is_before_turing(gpu: Gpu) -> bool:
    """Whether int8 tensor cores, and CUDA 13, are later than the card."""
    return bool(capability(gpu)) and capability(gpu) < TURING


def lacks_tensor_cores(gpu: Gpu) -> bool:
    """GTX 16xx and its kin: 7.5, without the tensor cores that the number promises."""
    return capability(gpu) == TURING and arch.has_tensor_cores("7.5", gpu.name) is False


def is_kept_out(machine: Machine) -> bool:
    """Whether the system has NVIDIA's driver loaded, and gives this process no GPU."""
    loaded = machine.host is not None and machine.host.kernel_driver is not None
    words = machine.unanswered.get("gpus")
    is_silent = words in (*NO_DRIVER, NONE_LISTED)
    return not machine.gpus and loaded and is_silent and not machine.gpus_are_left_out


def runs_on_gpu(machine: Machine) -> bool:
    """Whether torch can use a GPU here, so that the CPU is not the device by default."""
    return any(device.startswith("cuda:") for device in machine.fingerprints)


def major(version: str | None) -> int | None:
    """12 of "12.4"; None of what tells no number."""
    return next(iter(version_of(version or "")), None)


def driver_is_before(machine: Machine, wanted: int) -> bool:
    """Whether the driver is known to be for an earlier major version of CUDA."""
    driver = major(machine.software.cuda_driver)
    return driver is not None and driver < wanted


def cuda_major(machine: Machine) -> int:
    """12 where a card or the driver is too old for CUDA 13, else 13."""
    old = any(is_before_turing(gpu) for gpu in machine.gpus)
    return 12 if old or driver_is_before(machine, 13) else 13


def torch_command(machine: Machine) -> str:
    """Install a torch that suits this machine's cards and driver, if it has any; "" where none does."""
    known = sorted(filter(None, map(capability, machine.gpus)))
    if takes_cuda_11(machine):
        return "" if known and known[0] < LAST_KEPLER else CU118
    if known and known[0] < TURING:
        return _torch_of_old_cards(known[0], known[-1])
    if machine.gpus and cuda_major(machine) == 12:
        return CU128
    return 'pip install --force-reinstall "torch>=2.6"'


def _torch_of_old_cards(oldest: tuple[int, ...], newest: tuple[int, ...]) -> str:
    """A build with code for both; "" where there is none."""
    if oldest < MAXWELL:
        return ""
    if newest < HOPPER:
        return CU126
    if oldest >= VOLTA:
        return CU128_VOLTA
    return CU126_HOPPER if newest < BLACKWELL else ""


def is_kepler_there(machine: Machine) -> bool:
    """Whether a card is from before Maxwell: drivers after 470 leave it out, and so does CUDA 12."""
    return any(capability(gpu) and capability(gpu) < MAXWELL for gpu in machine.gpus)


def takes_cuda_11(machine: Machine) -> bool:
    """Whether the driver is for CUDA 11, and late enough for the builds of torch for 11.8."""
    driver = version_of(machine.software.driver or "")
    return (
        driver_is_before(machine, 12)
        and not driver_is_before(machine, 11)
        and (not driver or driver >= DRIVER_OF_11)
    )


def torch_fix(machine: Machine, text: str) -> Fix:
    """The same, with the reason and where to read on."""
    command = torch_command(machine)
    if not command:
        return _hide_cards(machine)
    if driver_is_before(machine, 12) and not is_kepler_there(machine):
        return old_driver_fix(machine, _torch_of_cards(machine))
    return Fix(text=text, commands=(command,), link="https://pytorch.org/get-started/locally/")


def _torch_of_cards(machine: Machine) -> str:
    """The torch of the cards alone, once the driver is no matter any more."""
    software = machine.software.model_copy(update={"driver": None, "cuda_driver": None})
    return torch_command(machine.model_copy(update={"software": software}))


def old_driver_fix(machine: Machine, torch: str = "") -> Fix:
    """What to do about a driver from before CUDA 12: `torch` is what is to be installed after it."""
    newer = driver_commands(machine)
    step = driver_elsewhere(machine) or "Install driver 580 and restart the machine."
    then = (
        "Then install the torch that suits the cards."
        if torch
        else "Then all that is installed here runs."
    )
    first = (*newer, torch) if torch else newer
    text = f"{step} 580 takes CUDA 11, 12 and 13, and is the last for cards before 7.5. {then}"
    if not takes_cuda_11(machine):
        return Fix(text=text, commands=first, link=DRIVER_GUIDE)
    return Fix(
        text=f"In this order:\n(1) {text}\n(2) Only where the driver must stay: a torch for CUDA 11.8. It "
        "runs torch alone; qprobe's CUDA kernels and CuPy need a driver for CUDA 12.",
        commands=(*first, CU118),
        labels=(*("(1)" for _ in first), "(2)"),
        link=DRIVER_GUIDE,
    )


def _hide_cards(machine: Machine) -> Fix:
    """No build has code for all cards: show those that one build has code for, the newest among them."""
    shown = sorted(machine.gpus, key=capability)
    while shown and not torch_command(machine.model_copy(update={"gpus": tuple(shown)})):
        shown.pop(0)
    if not shown:
        return Fix(
            text="No build of torch 2.6 or later has code for such cards: measure and plan for the CPU.",
            commands=("qprobe bench --device cpu",),
        )
    indices = ",".join(str(index) for index in sorted(gpu.index for gpu in shown))
    return Fix(
        text="No build of torch has code for all of these cards: hide the older ones from it, and install "
        "the build for the others.",
        commands=(
            f"export CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES={indices}",
            torch_command(machine.model_copy(update={"gpus": tuple(shown)})),
        ),
        link="https://docs.pytorch.org/docs/stable/cuda_environment_variables.html",
    )


DRIVER_GUIDE = "https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/"


def driver_elsewhere(machine: Machine) -> str:
    """How the driver is updated where this system has none of its own; "" where it has."""
    system = machine.software.os.lower()
    if "microsoft" in system or "wsl" in system:
        return "Update NVIDIA's driver on Windows, to 580 or later: WSL has none of its own."
    if "tegra" in system:
        return "Update JetPack: the driver of a Jetson comes with it."
    if machine.host is not None and machine.host.container is not None:
        return "Update the driver of the host, to 580 or later: a container has none of its own."
    return ""


def driver_commands(machine: Machine) -> tuple[str, ...]:
    """Install the driver that takes every card since Maxwell, where the system's package is known.

    Blackwell runs by the open kernel modules alone, cards before Turing by the others.
    """
    is_another = driver_elsewhere(machine) or is_kepler_there(machine)
    if "Ubuntu" not in machine.software.os or is_another:
        return ()
    is_open = any(capability(gpu) >= BLACKWELL for gpu in machine.gpus)
    return (f"apt-get install nvidia-driver-580{'-open' if is_open else ''}",)


def driver_fix(machine: Machine, text: str) -> Fix:
    """Install a newer driver; `text` says so, for a system that has its own."""
    if is_kepler_there(machine):
        return Fix(
            text="No driver after 470 takes cards before 5.0: nothing for CUDA 12 runs on them. Use torch alone, built "
            "for CUDA 11.8, or another card.",
            link=DRIVER_GUIDE,
        )
    return Fix(
        text=driver_elsewhere(machine)
        or f"{text} 525 takes CUDA 12; 580 takes CUDA 13, and is the last for cards before 7.5. Restart "
        "the machine afterwards.",
        commands=driver_commands(machine),
        link=DRIVER_GUIDE,
    )


def torch_brings(machine: Machine) -> str:
    """The version of NVRTC that comes with the torch that suits the machine; "" where it is any."""
    brought = {CU126: "12.6", CU126_HOPPER: "12.6", CU128: "12.8", CU128_VOLTA: "12.8"}
    return brought.get(torch_command(machine), "")


def describe(gpu: Gpu, machine: Machine) -> str:
    """The card's name, with its number where there are several."""
    return gpu.name if len(machine.gpus) == 1 else f"GPU {gpu.index} ({gpu.name})"


def kinds(gpus: Iterable[Gpu]) -> tuple[tuple[Gpu, ...], ...]:
    """The cards, those of one name and architecture together, in the order of the first of each."""
    found: dict[tuple[str, str | None], list[Gpu]] = {}
    for gpu in gpus:
        found.setdefault((gpu.name, gpu.compute_capability), []).append(gpu)
    return tuple(map(tuple, found.values()))


def describe_kind(group: Sequence[Gpu], machine: Machine) -> str:
    """Cards of one kind: the name, with their numbers where the machine has several."""
    if len(machine.gpus) == 1:
        return group[0].name
    *others, last = (str(gpu.index) for gpu in group)
    numbers = f"GPUs {', '.join(others)} and {last}" if others else f"GPU {last}"
    return f"{numbers} ({group[0].name})"


def device_of(gpu: Gpu) -> str:
    """What torch calls the card."""
    return gpu.device or f"cuda:{gpu.index}"


def slice_sizes(gpu: Gpu) -> tuple[int, ...]:
    """GB of the slices that MIG has divided a card into, the largest first; "3g.20gb" has 20."""
    sizes = {
        int(found[1])
        for profile in gpu.mig_profiles or ()
        if (found := re.search(r"\.(\d+)gb", profile))
    }
    return tuple(sorted(sizes, reverse=True))


def tell_slices(gpu: Gpu) -> str:
    """What a process gets of a divided card: "a slice of 20 or 10 GB"."""
    sizes = " or ".join(map(str, slice_sizes(gpu)))
    return f"a slice of {sizes} GB" if sizes else "a slice of it"
