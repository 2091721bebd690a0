"""A kernel that brought a card down is known in the next run, and nothing else is."""

import errno
import fcntl
import re
import subprocess
import sys

import pytest
import torch

from qprobe.errors import CrashError
from qprobe.kernels._kernel import LayerSpec
from qprobe.kernels.cuda import quantizer, suspects
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.cuda.kernels import cuda_kernels
from qprobe.kernels.cuda.portfolio import all_sources
from qprobe.kernels.cuda.probes import absent_peaks, list_peaks
from qprobe.kernels.torch_cuda import int_mm

FAULT = "CUDA error: an illegal memory access was encountered"
SPEC = LayerSpec("W8A8", 32, 64, torch.float16, 127, "cuda:0")


@pytest.fixture
def card(emulated, monkeypatch, tmp_path):
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path))
    return emulated


def kernel(name="gemm_s8_mma"):
    return next(k for k in cuda_kernels() if k.id == f"cuda.{name}")


def notes(tmp_path):
    return sorted(path.name.partition("-")[0] for path in tmp_path.glob("crashed/*"))


def bring_down(card, name="gemm_s8_mma", spec=SPEC):
    with pytest.raises(CrashError) as caught, kernel(name).trial(spec):
        card.fault = FAULT
    card.fault = ""
    return caught.value


def test_a_kernel_that_runs_leaves_nothing_behind(card, tmp_path):
    with kernel().trial(SPEC):
        assert notes(tmp_path) == ["gemm_s8_mma"]
        assert kernel().objection(SPEC) == "", "it is being tried by this very process"
    assert notes(tmp_path) == []


def test_a_crash_beside_a_trial_stays_noted(card, tmp_path):
    """Two threads try one kernel: that of the second ends well, behind the crash of the first."""
    with kernel().trial(SPEC):
        bring_down(card)
    assert "it brought down Emulated before" in kernel().objection(SPEC)
    assert notes(tmp_path) == ["gemm_s8_mma"]


def test_what_brings_the_card_down_is_named_and_left_out(card, tmp_path):
    error = bring_down(card)
    assert str(error) == f"cuda.gemm_s8_mma brought down Emulated: {FAULT}"
    assert "left out from now on" in error.hint
    words = kernel().objection(SPEC)
    assert "it brought down Emulated before" in words
    assert FAULT in words
    assert kernel("gemm_s8_dp4a").objection(SPEC) == ""
    assert str(tmp_path) not in words, "documents tell no paths"
    bring_down(card)  # Another note, of two processes at once.
    (pattern,) = re.findall(r"delete (crashed/\S+) in qprobe's cache", words)
    for path in tmp_path.glob(pattern):
        path.unlink()
    assert kernel().objection(SPEC) == ""


def test_another_card_and_another_text_of_the_kernel_are_not_blamed(card, monkeypatch):
    bring_down(card)
    card.card = Card(0, "Another", "8.0", 4)
    assert kernel().objection(SPEC) == ""
    card.card = Card(0, "Emulated", "8.0", 4)
    assert kernel().objection(SPEC)
    monkeypatch.setattr(suspects, "_digest", lambda *_: "0123456789ab")
    assert kernel().objection(SPEC) == ""


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, RuntimeError])
def test_other_errors_pass_and_blame_nobody(card, tmp_path, error):
    with pytest.raises(error), kernel().trial(SPEC):
        raise error("something else")
    assert notes(tmp_path) == []


DIE = """
import os
from tests.kernels.cuda.emulated import EmulatedDriver
from qprobe.kernels.cuda import driver, suspects
from qprobe.kernels.cuda.portfolio import all_sources
found = EmulatedDriver()
driver.current = lambda: found
with suspects.trial(all_sources()["gemm_s8_mma"], 0):
    os._exit(9)
"""


def test_the_second_process_that_did_not_come_back_is_known_by_what_it_left(card, tmp_path):
    """The first may have been ended by somebody whom the kernel did nothing."""
    for objection in ("", f"it brought down {card.cards()[0].name} before (a process began it at "):
        assert subprocess.run([sys.executable, "-c", DIE], check=False).returncode == 9
        assert objection in kernel().objection(SPEC)
        assert bool(objection) == bool(kernel().objection(SPEC))
    assert "did not come back" in kernel().objection(SPEC)


STAY = DIE.replace("os._exit(9)", "print(flush=True); input()")


def test_what_another_process_tries_is_not_blamed_until_that_is_killed(card, tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", STAY], **pipes) as other:
        other.stdout.readline()
        assert notes(tmp_path) == ["gemm_s8_mma"]
        assert kernel().objection(SPEC) == ""
        with kernel().trial(SPEC):
            pass
        assert notes(tmp_path) == ["gemm_s8_mma"], "that of the other is not ours to strike out"
        other.kill()
    assert kernel().objection(SPEC) == ""
    subprocess.run([sys.executable, "-c", DIE], check=False)
    assert "did not come back" in kernel().objection(SPEC)


@pytest.mark.parametrize("system", ["with", "without"])
def test_a_disk_or_system_without_locks_keeps_no_note_of_what_still_runs(
    card, tmp_path, monkeypatch, system
):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    if system == "without":
        monkeypatch.setitem(sys.modules, "fcntl", None)
    else:
        monkeypatch.setattr(fcntl, "flock", refuse)
    with kernel().trial(SPEC):
        assert notes(tmp_path) == []
        assert kernel().objection(SPEC) == ""
    assert "left out from now on" in bring_down(card).hint
    assert FAULT in kernel().objection(SPEC)


@pytest.mark.parametrize("product", [kernel(), int_mm.KERNEL], ids=lambda product: product.id)
def test_what_quantizes_rows_is_blamed_by_itself_and_done_without(
    card, tmp_path, monkeypatch, product
):
    def fail(*_):
        card.fault = FAULT

    monkeypatch.setattr(quantizer, "quantize_rows", fail)
    with pytest.raises(CrashError, match="quantize_tokens brought down"), product.trial(SPEC):
        pytest.fail("the product is not tried then")
    card.fault = ""
    quantizer.forget()
    assert notes(tmp_path) == ["quantize_tokens"]
    assert not quantizer.can_quantize(torch.zeros(2, 64), "int8")
    with kernel().trial(SPEC):  # Without it.
        pass
    assert kernel().objection(SPEC) == ""


def test_a_probe_that_brought_the_card_down_has_no_rate(card, tmp_path):
    card.card = Card(0, "Emulated", "8.0", 1)
    before = {probe.name for probe in list_peaks(torch.device("cpu"))}
    with pytest.raises(CrashError), suspects.trial(all_sources()["peak_imma"], 0):
        card.fault = FAULT
    card.fault = ""
    assert {probe.name for probe in list_peaks(torch.device("cpu"))} == before - {"peak_imma"}
    assert FAULT in absent_peaks(torch.device("cpu"))["peak_imma"]


def test_a_folder_that_cannot_be_written_is_done_without_and_said(card, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path / "file"))
    with kernel().trial(SPEC):
        pass
    assert "cannot be written" in bring_down(card).hint
    assert kernel().objection(SPEC) == ""
