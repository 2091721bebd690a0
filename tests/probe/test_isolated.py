"""The process that asks torch may die in any way; its death is an answer, and takes no other with it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from qprobe.probe import isolated
from qprobe.probe.isolated import QUESTIONS, run_self_test

HALF = "print('{\"bandwidth\": [1e9, 2e9]}', flush=True); "


def python(code):
    return (sys.executable, "-c", code)


def test_real_answers_whatever_the_current_folder_holds(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise SystemExit('taken')")
    monkeypatch.chdir(tmp_path)
    answer = run_self_test()
    assert answer.broke == {}
    assert answer.facts.build.version.startswith("2.")
    assert answer.facts.fingerprints["cpu"].units >= 1
    assert answer.int8.outcome in ("exact", "saturates")
    assert answer.bf16 > 0
    assert min(answer.bandwidth) > 1e8
    assert answer.compilers is not None


def test_only_what_is_asked_is_answered():
    answer = run_self_test(["int8"])
    assert answer.int8 is not None
    assert (answer.facts, answer.bandwidth, answer.bf16) == (None, None, None)
    assert answer.broke == {}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "ended by SIGILL"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV"),
        ("import os; os.kill(os.getpid(), 40)", "ended by signal 40"),
        ("raise RuntimeError('no such op')", "RuntimeError: no such op"),
        ("import sys; sys.exit(7)", "ended with status 7"),
        ("print('hello')", "unreadable answer 'hello'"),
        ("print('{\"int8\": 3}')", "unreadable answer"),
        ("pass", "unreadable answer"),
        ("import sys; sys.stdout.buffer.write(bytes(range(256)))", "unreadable answer"),
    ],
    ids=[
        "SIGILL",
        "SIGSEGV",
        "unnamed",
        "exception",
        "status",
        "no JSON",
        "wrong JSON",
        "nothing",
        "bytes",
    ],
)
def test_death_is_told_in_words_and_keeps_what_was_said(code, words):
    answer = run_self_test(QUESTIONS, python(HALF + code))
    assert list(answer.broke) == ["facts", "compilers"]
    assert words in answer.broke["facts"]
    assert answer.bandwidth == (1e9, 2e9)
    assert answer.int8 is None
    assert answer.bf16 is None


def test_endless_loop_is_ended_and_keeps_what_was_said():
    answer = run_self_test(QUESTIONS, python(HALF + "\nwhile True: pass"), limit_s=1)
    assert answer.broke["facts"].endswith("no answer within 1 s")
    assert answer.bandwidth == (1e9, 2e9)


def test_a_process_that_does_not_die_is_left(monkeypatch):
    started = []
    # As one that a driver holds.
    monkeypatch.setattr(subprocess.Popen, "kill", lambda self: started.append(self))
    monkeypatch.setattr(isolated, "DEATH_LIMIT_S", 0.1)
    code = HALF + "import time; time.sleep(600)"
    text, words = isolated.run_apart(python(code), limit_s=3)
    monkeypatch.undo()
    (process,) = started
    assert process.poll() is None
    process.kill()
    process.wait()
    assert (json.loads(text), words) == ({"bandwidth": [1e9, 2e9]}, "no answer within 3 s")


def test_missing_interpreter_is_told(tmp_path):
    answer = run_self_test(QUESTIONS, (str(tmp_path / "python"),))
    assert answer.broke["facts"] == (
        "torch in a process of its own: python: No such file or directory"
    )


def test_noise_around_the_answer_is_passed_over():
    line = '{"int8": null, "bf16": 2.0}'
    code = f"print('a library greets'); print('{line}'); print('and leaves', end='')"
    answer = run_self_test(["bf16"], python(code))
    assert (answer.bf16, answer.broke) == (2.0, {})


ANSWERS = """
import os, sys
lines = {"bandwidth": '{"bandwidth": [1e9, 2e9]}', "bf16": '{"bf16": 2.0}', "compilers": '{"compilers": []}'}
for question in sys.argv[1:]:
    if question == "int8":
        os.abort()
    print(lines[question], flush=True)
"""


def test_a_question_that_ends_its_process_does_not_silence_those_after_it():
    answer = run_self_test(["bandwidth", "int8", "bf16", "compilers"], python(ANSWERS))
    assert answer.broke == {"int8": "torch in a process of its own: ended by SIGABRT"}
    assert (answer.bandwidth, answer.bf16, answer.compilers) == ((1e9, 2e9), 2.0, ())
