"""A cache that is nowhere, or closed, is done without."""

from __future__ import annotations

import os
import pwd

import pytest

from qprobe.doctor import run_checks
from qprobe.documents.machine import Machine
from qprobe.flow.cached import all_profiles
from qprobe.probe.host import probe_host
from qprobe.timing.cache import cache_folder, list_kept, recall, remember
from tests.doctor.machines import load


@pytest.fixture
def homeless(monkeypatch):
    """A user without HOME whom the system does not list."""

    def unknown(_):
        raise KeyError

    for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "QPROBE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.fixture
def closed(monkeypatch, tmp_path):
    """A folder that belongs to somebody else."""
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path / "closed"))
    real = os.stat

    def stat(path, *args, **kwargs):
        if str(path).startswith(str(tmp_path / "closed/")):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(os, "mkdir", lambda path, *_: stat(path))


@pytest.mark.parametrize("kind", ["homeless", "closed"])
def test_a_cache_that_cannot_be_had_is_done_without(kind, request):
    request.getfixturevalue(kind)
    machine = load("epyc_avx2")
    assert recall(Machine, "machine") is None
    assert remember(machine, "machine") is None
    assert list_kept("profile", "*.json") == list(all_profiles()) == []
    host = probe_host({})
    assert host.cache_is_writable is False
    (finding,) = run_checks(machine.model_copy(update={"host": host}), ["cache"])
    assert finding.fix.commands == ("export QPROBE_CACHE=/tmp/qprobe",)


def test_the_folder_that_was_named_is_taken_without_a_home(homeless, monkeypatch, tmp_path):
    monkeypatch.setenv("QPROBE_CACHE", str(tmp_path))
    assert cache_folder("profile") == tmp_path / "profile"
