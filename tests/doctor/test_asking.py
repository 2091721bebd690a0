"""What is not asked for a check makes no difference to its answer, on any recorded machine."""

from __future__ import annotations

import pytest

from qprobe.doctor import list_checks, questions_for, run_checks
from qprobe.doctor._check import EVERYTHING, Check
from qprobe.probe.isolated import QUESTIONS
from tests.doctor.machines import NAMES, load, measured

CHECKS = [check.id for check in list_checks()]
FIGURES = {
    "bandwidth": ("copy_bandwidth_bytes_per_s", "read_bandwidth_bytes_per_s"),
    "int8": ("int8_self_test",),
    "bf16": ("bf16_speed_ratio",),
}


def answered(machine, asked):
    """The machine as it is told where only those questions were asked."""
    software, gpus = machine.software, machine.gpus
    fingerprints, unanswered = machine.fingerprints, dict(machine.unanswered)
    if "compilers" not in asked:
        software = software.model_copy(update={"nvrtc": None})
    if "facts" not in asked:
        software, fingerprints = software.model_copy(update={"torch": None}), {}
        gpus = tuple(gpu.model_copy(update={"sm_count": None}) for gpu in gpus)
        kept = (key for key in unanswered if not key.startswith(("fingerprints", "software.torch")))
        unanswered = {key: unanswered[key] for key in kept} | {"software.torch": "not asked for"}
    silent = [
        name for question, names in FIGURES.items() if question not in asked for name in names
    ]
    return machine.model_copy(
        update={
            "software": software,
            "gpus": gpus,
            "fingerprints": fingerprints,
            "unanswered": unanswered,
            "cpu": machine.cpu.model_copy(update=dict.fromkeys(silent)),
        }
    )


MACHINES = [make(name) for name in NAMES for make in (load, measured)]


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_not_asked_makes_no_difference(check):
    asked = questions_for([check], has_methods=False)
    for machine in MACHINES:
        assert run_checks(answered(machine, asked), [check]) == run_checks(machine, [check])


def test_the_questions_are_those_of_the_probe():
    assert EVERYTHING == QUESTIONS


def test_some_checks_need_no_torch():
    free = [check for check in CHECKS if not questions_for([check], has_methods=False)]
    assert {"memory", "cache", "load", "environment"} <= set(free)


def test_methods_need_to_know_the_gpus():
    assert questions_for([], has_methods=True) == ("facts",)
    assert questions_for(["memory"], has_methods=True) == ("facts",)


def test_a_check_that_does_not_say_what_it_asks_is_told_everything_and_all_say_it():
    silent = Check("new", "New", "it is new", (), lambda _machine: None)
    assert silent.asks == EVERYTHING
    assert [check.id for check in list_checks() if check.asks == EVERYTHING] == []


def test_what_several_need_is_asked_once_and_in_order():
    assert questions_for(["bf16", "bandwidth", "memory"], has_methods=False) == (
        "facts",
        "bandwidth",
        "bf16",
    )
