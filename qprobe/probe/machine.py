"""Puts together everything that can be known of the machine."""

from __future__ import annotations

import sys
from collections.abc import Collection

from qprobe.documents.machine import Machine
from qprobe.probe.cpu import probe_cpu
from qprobe.probe.gpus import ask_gpus
from qprobe.probe.host import probe_host
from qprobe.probe.isolated import (
    COMMAND,
    QUESTIONS,
    SelfTestAnswer,
    limit_memory,
    run_self_test,
)
from qprobe.probe.privacy import leave_out_personal
from qprobe.probe.software import probe_software
from qprobe.probe.torch_facts import TorchFacts, ask_torch

NOT_ASKED = "not asked for"


def probe_machine(
    bandwidth: bool = True,
    arithmetic: bool = True,
    personal: bool = False,
    questions: Collection[str] | None = None,
    most_bytes: int | None = None,
) -> Machine:
    """Ask the CPU, the GPUs and the installed software; takes some 3 s, nearly all of them torch's.

    What cannot be read is None, and `unanswered` says why. Memory bandwidth is measured unless
    `bandwidth` is False, on up to 2 GiB of memory, and the arithmetic is tested unless `arithmetic`
    is. Both run in a process of their own, which asks torch too, so that this one need not import
    it; a process that has it already asks its own. Names of persons and their folders are left out
    unless `personal` asks for them.

    `questions`, of `QUESTIONS`, stand in place of the two flags where somebody knows what is needed: what
    is not among them stays unanswered, and with none of them torch is not imported anywhere.
    `most_bytes` limits the memory that bandwidth is measured on; it is not measured where the caches
    could hold so little.
    """
    unanswered: dict[str, str] = {}
    host = probe_host(unanswered)  # before anything is run: the load is that of others
    wanted = {"bandwidth": bandwidth, "compilers": bandwidth or arithmetic}
    others = tuple(
        question
        for question in QUESTIONS
        if question != "facts"
        and (wanted.get(question, arithmetic) if questions is None else question in questions)
    )
    here = "torch" in sys.modules or (questions is None and not others)
    asked = others if here else ("facts", *others)
    is_silent = questions is not None and not questions
    facts: TorchFacts | None = None
    if is_silent:
        facts, asked = TorchFacts(build=None, unanswered={"software.torch": NOT_ASKED}), ()
    elif here:
        facts = ask_torch()
    tested = SelfTestAnswer()
    if asked and (facts is None or facts.build is not None):
        command = COMMAND if most_bytes is None else limit_memory(most_bytes)
        tested = run_self_test(asked, command)
    if "bandwidth" in tested.model_fields_set and tested.bandwidth is None:
        held = f"the caches hold the {(most_bytes or 0) >> 20} MiB that it may take"
        tested = tested.model_copy(update={"broke": tested.broke | {"bandwidth": held}})
    facts = facts or tested.facts or _no_facts(tested)
    unanswered |= facts.unanswered
    if words := tested.broke.get("compilers"):
        unanswered["software.nvrtc"] = words
    answer = ask_gpus(facts.gpus, unanswered)
    software = probe_software(facts.build, answer.driver, answer.cuda_driver)
    machine = Machine(
        cpu=probe_cpu(
            facts.fingerprints.get("cpu"),
            tested,
            NOT_ASKED if facts.build or is_silent else "torch is needed",
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
