"""A known fault of libraries, where it strikes, and how one is found on a machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from qprobe.doctor.rules.hardware import how
from qprobe.doctor.rules.versions import matches
from qprobe.documents.machine import Gpu, Machine

SUITING_TORCH = "{torch}"
"""As a command: install the torch that suits all cards of the machine and its driver."""


@dataclass(frozen=True)
class Where:
    """All of it must hold; ranges are as in ">=0.14,<0.17". What is said of a card holds for one and the same."""

    packages: Mapping[str, str] = field(default_factory=dict)
    """Distribution → range; "" for any version."""
    card: str = ""
    """Range of the compute capability of one of the cards."""
    lacks: str = ""
    """Feature that it does not have."""
    slow: str = ""
    """Feature that it has on the instructions of older cards."""
    has: str = ""
    """Feature that is native on it."""
    torch_cuda: str = ""
    """Range of the CUDA that torch is built for."""
    bnb_cuda: str = ""
    """Range of the CUDA whose library bitsandbytes takes."""
    driver_cuda: str = ""
    """Range of the latest CUDA that the driver takes."""
    without_gpu: bool = False

    @property
    def feature(self) -> str:
        """The one that it is about, for words on who has it."""
        return self.lacks or self.slow or self.has

    @property
    def needs_card(self) -> bool:
        """Whether it strikes on some cards only."""
        return bool(self.card or self.feature)


@dataclass(frozen=True)
class Fault:
    """One fault. The words may hold {versions}, {card}, {native} and {cost}; commands, {device}.

    {card} may be several of them; {native} tells who has the feature that `where` is about. A command with
    {device} is told for each kind of card that is struck.
    """

    id: str
    where: Where
    status: Literal["warn", "fail"]
    summary: str
    detail: str
    fix: str
    commands: tuple[str, ...]
    source: str
    """Where one can read it up."""
    labels: tuple[str, ...] = ()
    """Of each command, which way out it belongs to, where there are several."""
    instead: tuple[str, ...] = ()
    """Schemes whose cost here {cost} tells."""


@dataclass(frozen=True)
class Hit:
    """A fault that a machine has, and the cards that it strikes, if it needs any."""

    fault: Fault
    gpus: tuple[Gpu, ...]
    versions: str
    """Of the libraries that it comes from: "peft 0.10.0, bitsandbytes 0.43.1"."""


def find_faults(machine: Machine, faults: Iterable[Fault]) -> tuple[Hit, ...]:
    """Those that the machine has, what fails first."""
    hits = (_look(machine, fault) for fault in faults)
    return tuple(
        sorted((hit for hit in hits if hit is not None), key=lambda hit: hit.fault.status != "fail")
    )


def _look(machine: Machine, fault: Fault) -> Hit | None:
    where, software = fault.where, machine.software
    found = {name: software.packages.get(name) for name in where.packages}
    if not all(
        version is not None and (not where.packages[name] or matches(version, where.packages[name]))
        for name, version in found.items()
    ):
        return None
    cuda = software.torch.cuda if software.torch else None
    for version, wanted in (
        (cuda, where.torch_cuda),
        (_bnb_cuda(cuda, software.environment), where.bnb_cuda),
        (software.cuda_driver, where.driver_cuda),
    ):
        if wanted and (version is None or not matches(version, wanted)):
            return None
    if where.without_gpu and machine.gpus:
        return None
    versions = ", ".join(f"{name} {version}" for name, version in found.items())
    struck = tuple(gpu for gpu in machine.gpus if _strikes(where, gpu)) if where.needs_card else ()
    return Hit(fault, struck, versions) if struck or not where.needs_card else None


def _bnb_cuda(cuda: str | None, environment: Mapping[str, str]) -> str | None:
    """That of torch, unless BNB_CUDA_VERSION names another: "124" is 12.4."""
    named = environment.get("BNB_CUDA_VERSION")
    if cuda is None or not named:
        return cuda
    digits = re.fullmatch(r"(\d+)(\d)", named, re.ASCII)
    return f"{digits[1]}.{digits[2]}" if digits else None


def _strikes(where: Where, gpu: Gpu) -> bool:
    wanted = ((where.lacks, "absent"), (where.slow, "slow"), (where.has, "native"))
    return (not where.card or matches(gpu.compute_capability or "", where.card)) and all(
        how(feature, gpu) == answer for feature, answer in wanted if feature
    )
