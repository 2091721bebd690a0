"""What can be said of a method without running it, as of a machine that is only recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata

from qprobe.doctor._check import Check
from qprobe.doctor._method import Method, Without
from qprobe.doctor.checks import gpu_torch, libraries, peft_bitsandbytes
from qprobe.doctor.checks._faults import report
from qprobe.doctor.native import gpu_of, lack_of
from qprobe.doctor.rules import bitsandbytes, hardware
from qprobe.doctor.rules import libraries as library_rules
from qprobe.doctor.rules.faults import Fault, find_faults
from qprobe.documents.finding import Fix, Verdict
from qprobe.documents.machine import Machine

_RULES: tuple[tuple[Check, tuple[Fault, ...]], ...] = (
    (peft_bitsandbytes.CHECK, bitsandbytes.FAULTS),
    (libraries.CHECK, library_rules.FAULTS),
)
"""The checks that tell of faults, and theirs."""
_VERDICTS: dict[Without, str] = {"refuses": "unsupported", "falls back": "works", "slow": "slow"}


def by_rule(method: Method, device: str, machine: Machine) -> Verdict | None:
    """The verdict by what is installed, by known faults, and by what the card lacks; None: none of them.

    It never says more than the findings on the same machine do: both come from the same rules.
    """
    if missing := absent_of(method, machine.software.packages):
        return not_installed(method, device, missing)
    alone = _alone(machine, device)
    return (
        by_torch(method, device, machine)
        or _by_fault(method, device, alone)
        or _by_lack(method, device, alone)
    )


def _alone(machine: Machine, device: str) -> Machine:
    """The machine with no other GPU than the device; as it is for the processor."""
    return machine if device == "cpu" else machine.limited_to((device,))


def by_torch(method: Method, device: str, machine: Machine) -> Verdict | None:
    """A torch that cannot use the card, or does not see it, takes every method along."""
    torch, gpu = machine.software.torch, gpu_of(machine, device)
    if torch is None or gpu is None:
        return None
    finding = gpu_torch.CHECK.run(_alone(machine, device))
    if finding.status != "fail" and device in machine.fingerprints:
        return None
    is_broken = torch.cuda is not None and gpu_torch.find_code(torch, gpu) is None
    return Verdict(
        method=method.id,
        device=device,
        verdict="broken" if is_broken else "unsupported",
        why=finding.summary,
        evidence="rule",
        detail=finding.detail,
        fix=finding.fix,
    )


def _by_fault(method: Method, device: str, machine: Machine) -> Verdict | None:
    """The first fault of those that decide about the method, what fails first, in its own words."""
    for check, faults in _RULES:
        hits = [
            hit
            for hit in find_faults(machine, (f for f in faults if f.id in method.faults))
            if device != "cpu" or not hit.gpus
        ]
        if hits:
            told, lack = (
                report(check, hits, machine),
                lack_of(hits[0].fault.where.lacks, machine, device),
            )
            return Verdict(
                method=method.id,
                device=device,
                verdict=method.faults[hits[0].fault.id],
                why="; ".join(
                    words for words in (f"{told.summary} ({hits[0].versions})", lack) if words
                ),
                evidence="rule",
                detail=told.detail,
                fix=told.fix,
            )
    return None


def _by_lack(method: Method, device: str, machine: Machine) -> Verdict | None:
    """What a card lacks, and what the method does then; a processor can do all, if slowly."""
    gpu, lack = gpu_of(machine, device), lack_of(method.feature, machine, device)
    if gpu is None or not lack:
        return None
    is_there = hardware.how(method.feature, gpu) == "slow"
    return Verdict(
        method=method.id,
        device=device,
        verdict="slow" if is_there else _VERDICTS[method.without],
        why=lack if is_there or not method.fallback else f"{lack}; {method.fallback}",
        evidence="rule",
    )


def absent_of(method: Method, installed: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What a method needs and is not installed, here or by the versions given."""
    return tuple(
        need.replace("|", " or ")
        for need in method.needs
        if not any(_is_installed(name, installed) for name in need.split("|"))
    )


def _is_installed(name: str, installed: Mapping[str, str] | None) -> bool:
    if installed is not None:
        return name in installed
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def not_installed(method: Method, device: str, missing: Sequence[str]) -> Verdict:
    """The verdict on a method whose packages are not there."""
    return Verdict(
        method=method.id,
        device=device,
        verdict="not_installed",
        why=f"{' and '.join(missing)} not installed",
        evidence="rule",
        fix=Fix(text=_install(method), commands=(method.install_command,)),
    )


def _install(method: Method) -> str:
    if not method.apart:
        return "Install it to have it tried."
    return "Install it to have it tried, in an environment of its own: it brings another torch."
