"""`make gpu` where there is no card: its shares of time, what becomes of a part that has none left, its cache."""

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from qprobe.kernels import gpus
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.cuda import cubins, driver
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.cuda.kernels import cuda_kernels
from qprobe.kernels.cuda.portfolio import all_sources
from tests.gpu import __main__ as run
from tests.gpu import compiling, trial
from tests.gpu.compiling import builds_for, compile_for
from tests.gpu.parts import GRACE_S, run_part

LATE = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1], "w").write(str(child.pid))
print("half", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("what was found until then", flush=True)
    {end}
"""


def test_the_shares_leave_a_reserve():
    shares = (
        run.COMPILING_S
        + run.TRIAL_S
        + run.LEAST_TESTS_S
        + run.LEAST_BENCHMARK_S
        + 4 * GRACE_S
        + run.RESERVE_S
    )
    assert shares <= run.LIMIT_S <= 8 * 60
    assert run.LAST_CELL_S < run.LEAST_BENCHMARK_S


@pytest.mark.parametrize(("code", "words"), [("0", "passed"), ("3", "failed (3)")])
def test_a_part_says_how_it_ended_and_how_long_it_took(tmp_path, code, words):
    outcome = run_part("part", ("-c", f"raise SystemExit({code})"), 30, tmp_path)
    assert outcome.words.startswith(f"part {words} in ")
    assert outcome.status == int(code)


@pytest.mark.parametrize("end", ["pass", "time.sleep(60)"], ids=["ends", "does not end"])
def test_a_part_without_time_fails_and_keeps_what_it_found(tmp_path, capfd, end):
    arguments = ("-c", LATE.format(end=end), str(tmp_path / "child"))
    start = time.monotonic()
    outcome = run_part("part", arguments, 1.5, tmp_path, grace_s=1.5)
    assert time.monotonic() - start < 20
    assert outcome.status == 124
    assert "part ran out of time in" in outcome.words
    assert "what was found until then" in capfd.readouterr().out
    child, patience = (tmp_path / "child").read_text(), time.monotonic() + 10
    while is_running(child) and time.monotonic() < patience:
        time.sleep(0.05)
    assert not is_running(child)


def is_running(number):
    """Whether there is such a process, one that has ended and waits for its parent not counted."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def with_a_card(monkeypatch):
    """As far as `make gpu` asks; its parts are kept instead of run, and end as they are told."""
    kept, statuses = [], {}
    found = SimpleNamespace(find_obstacle=lambda: "", cards=lambda: (Card(0, "A card", "8.0", 4),))
    monkeypatch.setattr(gpus, "no_gpu", lambda: "")
    monkeypatch.setattr(driver, "current", lambda: found)
    monkeypatch.setenv("QPROBE_CACHE", "elsewhere")

    def run_part(name, arguments, limit_s, _folder):
        kept.append((name, arguments, limit_s, run.os.environ["QPROBE_CACHE"]))
        return run.Outcome(name, statuses.get(name, 0), 1.0, is_late=False)

    monkeypatch.setattr(run, "run_part", run_part)
    return kept, statuses


@pytest.mark.parametrize("failing", [None, "compiling", "trial", "tests", "benchmark"])
def test_every_part_runs_on_one_cache_and_every_failure_counts(with_a_card, capsys, failing):
    kept, statuses = with_a_card
    statuses[failing] = 124
    assert run.main() == (1 if failing else 0)
    assert [name for name, *_ in kept] == ["compiling", "trial", "tests", "benchmark"]
    assert {cache for *_, cache in kept} == {str(run.CACHE)}
    assert kept[-2][2] >= run.LEAST_TESTS_S
    assert kept[-1][2] >= run.LEAST_BENCHMARK_S
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("compiling ")
    assert ("failed (124)" in last) == bool(failing)


def test_who_has_less_time_says_so(with_a_card):
    kept, _ = with_a_card
    shorter = f"{run.LEAST_S:g}"
    assert run.main(()) == run.main(("--seconds", shorter)) == 0
    limits = [limit for *_, limit, _ in kept]
    for whole, less in zip(limits[2:4], limits[6:], strict=True):
        assert whole - less == pytest.approx(run.LIMIT_S - run.LEAST_S, abs=1)


@pytest.mark.parametrize("seconds", ["0", "-1", "399", "481", "nan", "soon"])
def test_time_that_is_too_short_or_too_long_is_refused(capsys, seconds):
    with pytest.raises(SystemExit) as refused:
        run.main((f"--seconds={seconds}",))
    assert refused.value.code == 2
    assert "--seconds" in capsys.readouterr().err


def test_without_a_card_it_fails_and_says_so(capsys):
    assert run.main() == 1
    assert "nothing was tested and nothing was measured" in capsys.readouterr().out


TRIES = """
import os, pathlib, sys, time
notes = pathlib.Path(os.environ["QPROBE_CACHE"]) / "crashed"
notes.mkdir(parents=True, exist_ok=True)
there = len(list(notes.iterdir()))
if there < {crashes}:
    if {notes}:
        (notes / f"kernel{{there}}").touch()
    {end}
"""


def try_out(monkeypatch, tmp_path, limit_s=30, **how):
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path))
    once = (sys.executable, "-c", TRIES.format(**how))
    return trial.run_until_nothing_crashes(once, limit_s)


@pytest.mark.parametrize("end", ["sys.exit(3)", "os.abort()"])
def test_what_crashes_is_left_out_until_nothing_does(monkeypatch, tmp_path, end):
    found = try_out(monkeypatch, tmp_path, crashes=3, notes=True, end=end)
    assert found == ["kernel0", "kernel1", "kernel2"]


def test_who_had_no_time_to_come_back_is_not_blamed(monkeypatch, tmp_path):
    found = try_out(monkeypatch, tmp_path, 1, crashes=1, notes=True, end="time.sleep(60)")
    assert found == ["the rest: 1 s were too short"]
    assert list((tmp_path / "crashed").iterdir()) == []


def test_a_step_that_hangs_ends_its_process(monkeypatch, tmp_path):
    script = (
        "import time; from tests.gpu import trial; trial.HANGING_S = 0.5; "
        "trial.steps = lambda _: [('hangs', lambda: time.sleep(60))]; "
        "from types import SimpleNamespace as S; trial.driver.current = lambda: S(find_device=lambda _: None); "
        "trial.run_once()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, timeout=30
    )
    assert done.returncode != 0
    assert b"Timeout" in done.stderr


def test_where_nothing_crashes_nothing_is_left_out(monkeypatch, tmp_path):
    (tmp_path / "crashed").mkdir()
    (tmp_path / "crashed" / "of_an_earlier_run").touch()
    assert try_out(monkeypatch, tmp_path, crashes=0, notes=True, end="pass") == []


def test_a_crash_that_nobody_is_blamed_for_is_not_tried_for_ever(monkeypatch, tmp_path):
    found = try_out(monkeypatch, tmp_path, crashes=1, notes=False, end="sys.exit(5)")
    assert found == ["the rest: a try ended with 5"]


def test_every_kernel_and_probe_of_a_card_is_tried(emulated, monkeypatch, tmp_path):
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path))
    emulated.card = Card(0, "Emulated", "9.0", 2)
    monkeypatch.setattr(trial, "SHAPES", ((3, 40, 128),))
    monkeypatch.setattr(trial, "list_peaks", lambda _: [])
    names = {name for name, _ in trial.steps(torch.device("cpu"))}
    ours = {k for k in cuda_kernels() if not k.objection(spec_of(k))}
    assert len(ours) > 7
    assert {f"{k.id} {s}" for k in ours for s in k.schemes} <= names
    assert trial.run_once() == 0
    emulated.fault = "CUDA error: unspecified launch failure"
    assert trial.run_once() == trial.CRASHED


def spec_of(kernel):
    return LayerSpec(sorted(kernel.schemes)[0], 40, 128, torch.float16, 7, "cuda:0")


CARD = Card(0, "Planted", "8.0", 4)


def test_what_is_compiled_first_is_not_compiled_again(monkeypatch, tmp_path):
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path))
    few = {name: all_sources()[name] for name in ("copy", "quantize_tokens")}
    monkeypatch.setattr(compiling, "all_sources", lambda: few)
    assert compile_for(CARD, (13, 0), builds_for(CARD)) == []
    kept = list((tmp_path / "cubins").iterdir())
    assert len(kept) == sum(len(source.builds) for source in few.values())
    monkeypatch.setattr(cubins, "compile_source", None)  # A call would fail.
    assert compile_for(CARD, (13, 0), builds_for(CARD)) == []


@pytest.mark.parametrize("capability", ["6.1", "7.5", "9.0"])
def test_what_the_golden_vectors_are_asked_of_is_compiled_first_too(tmp_path, capability):
    card = Card(0, "Planted", capability, 4)
    names = {build.variant for _, build in compiling.primitives_for(card, tmp_path)}
    assert {"arithmetic", "shuffles"} <= names
    assert ("boxes" in names) == ("wgmma_s8_64x256x32" in names) == (capability == "9.0")


def test_what_does_not_compile_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path))
    monkeypatch.setattr(compiling, "all_sources", lambda: {"copy": all_sources()["copy"]})
    old = Card(0, "Old", "7.0", 4)
    (words,) = compile_for(old, (11, 8), builds_for(old))
    assert words.startswith("copy.cu: ")
    assert "7.0" in words


@pytest.mark.parametrize("capability", ["6.1", "7.5", "8.6", "9.0", "12.0"])
def test_all_that_a_card_may_be_given_is_compiled(capability):
    card = Card(0, "Planted", capability, 4)
    wanted = {(source.name, build.name) for source, build in builds_for(card)}
    for source in all_sources().values():
        chosen = {
            build.name
            for scheme in source.manifest.schemes or (None,)
            for dtype in (torch.float16, torch.bfloat16, torch.float32)
            for build in source.find_builds(scheme, dtype, capability)
        }
        if any(name == source.name for name, _ in wanted):
            assert chosen <= {build for name, build in wanted if name == source.name}
