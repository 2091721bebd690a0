"""Puts together everything that can be known of the machine."""

from __future__ import annotations

import sys

from qprobe.documents.machine import Machine
from qprobe.probe.cpu import probe_cpu
from qprobe.probe.host import probe_host
from qprobe.probe.isolated import QUESTIONS, SelfTestAnswer, run_self_test
from qprobe.probe.nvml import probe_gpus
from qprobe.probe.privacy import leave_out_personal
from qprobe.probe.software import probe_software
from qprobe.probe.torch_facts import TorchFacts, ask_torch


def probe_machine(
    bandwidth: bool = True, arithmetic: bool = True, personal: bool = False
) -> Machine:
    """Ask the CPU, the GPUs and the installed software; takes some 3 s, nearly all of them torch's.

    What cannot be read is None, and `unanswered` says why. Memory bandwidth is measured unless
    `bandwidth` is False, on up to 2 GiB of memory, and the arithmetic is tested unless `arithmetic`
    is. Both run in a process of their own, which asks torch too, so that this one need not import
    it; a process that has it already asks its own. Names of persons and their folders are left out
    unless `personal` asks for them.
    """
    unanswered: dict[str, str] = {}
    host = probe_host(unanswered)  # before anything is run: the load is that of others
    wanted = {"bandwidth": bandwidth, "compilers": bandwidth or arithmetic}
    questions = tuple(q for q in QUESTIONS if q != "facts" and wanted.get(q, arithmetic))
    here = "torch" in sys.modules or not questions
    facts = ask_torch() if here else None
    tested = SelfTestAnswer()
    if questions and (facts is None or facts.build is not None):
        tested = run_self_test(questions if here else ("facts", *questions))
    facts = facts or tested.facts or _no_facts(tested)
    unanswered |= facts.unanswered
    if words := tested.broke.get("compilers"):
        unanswered["software.nvrtc"] = words
    answer = probe_gpus(facts.gpus, unanswered)
    software = probe_software(facts.build, answer.driver, answer.cuda_driver)
    machine = Machine(
        cpu=probe_cpu(
            facts.fingerprints.get("cpu"),
            tested,
            "not asked for" if facts.build else "torch is needed",
            unanswered,
        ),
        gpus=answer.gpus,
        software=software.model_copy(update={"nvrtc": tested.compilers}),
        fingerprints=facts.fingerprints,
        host=host,
        unanswered=unanswered,
    )
    return machine if personal else leave_out_personal(machine)


def _no_facts(tested: SelfTestAnswer) -> TorchFacts:
    return TorchFacts(build=None, unanswered={"software.torch": tested.broke.get("facts", "")})
