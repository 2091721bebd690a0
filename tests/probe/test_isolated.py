"""The self-test's process may die in any way; its death is an answer."""

from __future__ import annotations

import sys

import pytest

from qprobe.probe.isolated import run_self_test


def python(code):
    return (sys.executable, "-c", code)


def test_a_real_answer_whatever_the_current_folder_holds(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise SystemExit('taken')")
    monkeypatch.chdir(tmp_path)
    answer = run_self_test()
    assert answer.int8.outcome in ("exact", "saturates")
    assert answer.bf16_speed_ratio > 0


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "ended by SIGILL"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV"),
        ("raise RuntimeError('no such op')", "RuntimeError: no such op"),
        ("import sys; sys.exit(7)", "ended with status 7"),
        ("print('hello')", "unreadable answer 'hello'"),
        ("print('{\"int8\": 3}')", "unreadable answer"),
        ("pass", "unreadable answer ''"),
    ],
    ids=["SIGILL", "SIGSEGV", "exception", "status", "no JSON", "wrong JSON", "nothing"],
)
def test_death_is_a_failed_test_in_words(code, words):
    answer = run_self_test(python(code))
    assert answer.int8.outcome == "failed"
    assert words in answer.int8.words
    assert answer.bf16_speed_ratio is None


def test_endless_loop_is_ended():
    answer = run_self_test(python("while True: pass"), limit_s=0.3)
    assert answer.int8.words.endswith("no answer within 0.3 s")


def test_missing_interpreter_is_a_failed_test(tmp_path):
    assert run_self_test((str(tmp_path / "python"),)).int8.outcome == "failed"


def test_noise_before_the_answer_is_ignored():
    line = '{"int8": null, "bf16_speed_ratio": 2.0}'
    answer = run_self_test(python(f"print('a library greets'); print('{line}')"))
    assert answer.bf16_speed_ratio == 2.0
