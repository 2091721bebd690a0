"""Known faults as rules: each is whole, is found where it strikes, and ranges of versions are read right."""

from __future__ import annotations

import re

import pytest

from qprobe.doctor.rules import bitsandbytes, libraries, torch
from qprobe.doctor.rules.faults import Fault, Where, find_faults
from qprobe.doctor.rules.hardware import how
from qprobe.doctor.rules.versions import matches
from qprobe.documents import arch
from tests.doctor.machines import load, with_gpu, with_software
from tests.machines.parts import gpu

FAULTS = (*bitsandbytes.FAULTS, *libraries.FAULTS, *torch.FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_every_fault_is_whole(fault):
    assert re.fullmatch(r"https://[\w.-]+/\S+", fault.source)
    assert set(re.findall(r"{(\w+)}", fault.detail)) <= {"versions", "card", "native", "cost"}
    assert "{native}" not in fault.detail or fault.where.feature
    assert ("{cost}" in fault.detail) == bool(fault.instead)
    assert "{card}" not in fault.detail or fault.where.needs_card
    assert "{device}" not in "".join(fault.commands) or fault.where.needs_card
    assert not fault.labels or len(fault.labels) == len(fault.commands)
    assert fault.fix


def version_in(wanted):
    """Some version that lies in a range, found by trying."""
    tried = [f"{major}.{minor}" for major in range(16) for minor in range(60)]
    return next(version for version in tried if matches(version, wanted))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_every_fault_is_found_where_it_strikes_and_not_without_its_libraries(fault):
    where = fault.where
    name = "NVIDIA GeForce GTX 1660" if where.lacks and where.card == "==7.5" else "Some card"
    cards = [
        capability
        for capability in arch.CAPABILITIES
        if (not where.card or matches(capability, where.card))
        and (not where.has or how(where.has, gpu(name, capability, 1, 1, 1.0)) == "native")
        and (not where.slow or how(where.slow, gpu(name, capability, 1, 1, 1.0)) == "slow")
    ]
    machine = load("epyc_avx2" if where.without_gpu else "h100_cu13")
    versions = {package: version_in(wanted or ">=1") for package, wanted in where.packages.items()}
    machine = with_software(machine, packages=versions)
    if where.torch_cuda:
        built = machine.software.torch.model_copy(update={"cuda": version_in(where.torch_cuda)})
        machine = with_software(machine, torch=built)
    if where.bnb_cuda:
        named = version_in(where.bnb_cuda).replace(".", "")
        machine = with_software(machine, environment={"BNB_CUDA_VERSION": named})
    if where.driver_cuda:
        machine = with_software(machine, cuda_driver=version_in(where.driver_cuda))
    if machine.gpus:
        machine = with_gpu(machine, compute_capability=cards[0], name=name)
    assert [hit.fault for hit in find_faults(machine, [fault])] == [fault]
    assert find_faults(with_software(machine, packages={}), [fault]) == ()
    if where.needs_card:
        assert find_faults(machine.model_copy(update={"gpus": ()}), [fault]) == ()


@pytest.mark.parametrize(
    ("version", "wanted", "answer"),
    [
        ("0.13.2", "<0.14", True),
        ("0.14.0", "<0.14", False),
        ("0.14", ">=0.14", True),
        ("0.44.1", "<=0.44", True),
        ("0.45.0.dev0", ">=0.45,<0.46", True),
        ("2.15.0+cu132", ">=2.15", True),
        ("2.9.1", ">=2.11", False),
        ("1", "<1.0.1", True),
        ("7.5", "==7.5", True),
        ("7.5", "!=7.5", False),
        ("10.3", ">=7.5", True),
        ("unknown", "<99", False),
        ("", ">=0", False),
        ("3.1", "", True),
    ],
)
def test_ranges_of_versions(version, wanted, answer):
    assert matches(version, wanted) == answer


@pytest.mark.parametrize("wanted", ["0.14", "~=1.0", ">=x", "> 1 < 2"])
def test_what_is_no_range_is_refused(wanted):
    with pytest.raises(ValueError, match="no range of versions"):
        matches("1.0", wanted)


@pytest.mark.parametrize(
    ("name", "bnb", "variable", "words"),
    [
        ("v100_cu126_torch", "0.44.1", "124", "LLM.int8() falls back to float16 on this card"),
        ("v100_cu126_torch", "0.44.1", "126", "it has no library for the CUDA of torch"),
        ("v100_cu126_torch", "0.44.1", "", "it has no library for the CUDA of torch"),
        ("t4", "0.47.0", "124", "BNB_CUDA_VERSION names a library for CUDA 12"),
        ("t4", "0.50.2", "130", None),
        ("p40", "0.50.2", "126", "LLM.int8() has no fallback on this card"),
        ("p40", "0.50.2", "128", "its CUDA 12.8 library has no code for this card"),
        ("v100_cu126_torch", "0.50.2", "130", "its CUDA 13 library has no code for this card"),
        ("v100_cu126_torch", "0.50.2", "none", "LLM.int8() has no fallback on this card"),
    ],
)
def test_bitsandbytes_takes_the_library_that_the_variable_names(name, bnb, variable, words):
    machine = with_software(
        load(name),
        environment={"BNB_CUDA_VERSION": variable},
        packages={"bitsandbytes": bnb, "peft": "0.21.2"},
    )
    hits = find_faults(machine, bitsandbytes.FAULTS)
    assert (hits[0].fault.summary if hits else None) == words


def test_a_fault_without_conditions_strikes_everywhere():
    fault = Fault("x", Where(), "warn", "s", "d", "f", (), "https://example.org/x")
    assert len(find_faults(load("no_torch"), [fault])) == 1
