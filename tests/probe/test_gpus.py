"""NVML may hang or crash the process that asks it: that is an answer, and the rest of the probe is there."""

from __future__ import annotations

import json
import sys

import pytest

import qprobe.probe.machine
from qprobe.doctor import run_checks
from qprobe.documents.machine import Gpu
from qprobe.probe import gpus, probe_machine
from qprobe.probe.gpus import Told, ask_gpus
from qprobe.probe.nvml import NvmlAnswer
from qprobe.probe.torch_facts import TorchGpu

SEEN = TorchGpu(
    device="cuda:0",
    uuid="beef",
    name="Orin",
    compute_capability="8.7",
    sm_count=16,
    memory_bytes=2**35,
)


def python(code):
    return (sys.executable, "-c", code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("while True: pass", "no answer within 0.5 s, in a process of its own"),
        ("import os; os.abort()", "ended by SIGABRT, in a process of its own"),
        ("print('hello')", "no answer, in a process of its own"),
    ],
    ids=["hangs", "crashes", "talks"],
)
def test_a_driver_that_takes_its_process_along_is_unanswered(code, words):
    unanswered = {}
    answer = ask_gpus((SEEN,), unanswered, python(code), limit_s=0.5)
    assert unanswered == {"gpus": words}
    assert [(gpu.name, gpu.device) for gpu in answer.gpus] == [("Orin", "cuda:0")]
    assert answer.driver is None


def test_what_it_says_is_the_answer_and_it_is_told_what_torch_sees():
    empty = dict.fromkeys(set(Gpu.model_fields) - {"index", "name"})
    gpu = Gpu(**empty | {"index": 0, "name": "Some"})
    told = Told(
        answer=NvmlAnswer(gpus=(gpu,), driver="1", cuda_driver=None), unanswered={"gpus.0.ecc": "?"}
    )
    code = f"import sys; assert 'beef' in sys.stdin.read(); print('hello'); print({told.model_dump_json()!r})"
    unanswered = {}
    assert ask_gpus((SEEN,), unanswered, python(code), limit_s=20) == told.answer
    assert unanswered == {"gpus.0.ecc": "?"}


def test_the_probe_goes_on_without_it(monkeypatch):
    def crash(seen, unanswered):
        return ask_gpus(seen, unanswered, python("import os; os.abort()"))

    monkeypatch.setattr(qprobe.probe.machine, "ask_gpus", crash)
    found = probe_machine(questions=())
    assert found.cpu.usable_cores >= 1
    (finding,) = run_checks(found, ("gpu",))
    assert (finding.status, finding.summary) == ("fail", "the NVIDIA driver does not answer")
    assert "SIGABRT" in finding.detail


def test_a_process_is_started_only_where_there_is_a_library_to_ask(monkeypatch):
    started = []
    monkeypatch.setattr(gpus, "run_apart", lambda *call: (started.append(call[0]) or "", "hung"))
    for is_there in (False, True):
        monkeypatch.setattr(gpus, "has_library", lambda is_there=is_there: is_there)
        unanswered = {}
        answer = ask_gpus((SEEN,), unanswered)
        assert [gpu.name for gpu in answer.gpus] == ["Orin"]
        assert unanswered["gpus"]
        assert started == [gpus.COMMAND] * is_there


def test_the_process_does_not_import_torch():
    code = "import sys, qprobe.probe.ask_nvml; print(json.dumps('torch' in sys.modules))"
    text, words = gpus.run_apart(python(f"import json; {code}"), 30)
    assert (json.loads(text), words) == (False, "")
