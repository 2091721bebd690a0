"""No word of the document says whose machine it is."""

from __future__ import annotations

import getpass
import os
import platform

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qprobe.documents.files import to_json
from qprobe.documents.machine import Int8SelfTest
from qprobe.probe.privacy import leave_out_personal, make_cleaner
from tests.probe.test_machine import probe_apart
from tests.render.samples import machine

WORDS = {
    "import torch: /home/joe/venv/lib/libtorch.so: cannot open": "import torch: …/libtorch.so: cannot open",
    "import torch: /usr/lib/libcuda.so.1: cannot open": "import torch: /usr/lib/libcuda.so.1: cannot open",
    "/proc/meminfo does not tell": "/proc/meminfo does not tell",
    "see https://pytorch.org/get-started/locally/": "see https://pytorch.org/get-started/locally/",
    "in /home/joe": "in …",
    "in /Users/joe/": "in …",
    "in ~/models/x.safetensors": "in …/x.safetensors",
    "C:\\Users\\joe\\torch\\lib\\c10.dll is missing": "…/c10.dll is missing",
    "/usr/home/joe/a.so": "…/a.so",
    "/mnt/c/Users/joe": "…",
    "/mnt/c/Users/joe/model": "…/model",
    "PATH=/data/home/joe:/gpfs/users/joe": "PATH=…:…",
    "/nfs/homes/joe.doe": "…",
    "/home/Joe Doe/env/lib/x.so: cannot open": "…/x.so: cannot open",
    "C:\\\\Users\\\\Joe van Doe\\\\x.dll": "…/x.dll",
    "in /home/joe and /usr/lib": "in … and /usr/lib",
    "file:///home/joe/x": "file://…/x",
    "~joe/x and ~5 GB": "… and ~5 GB",
    "/run/media/joe/disk/libx.so": "…/libx.so",
    "/media/joe": "…",
    "/run/nvidia/x /usr/home": "/run/nvidia/x /usr/home",
    "1 / 2": "1 / 2",
    "'/data/joe/a b.so'": "'…/a b.so'",
    "GPU-8f6a2b11-0c1d-4e2f-9a3b-5d6e7f809102": "GPU-…",
    "MIG-8f6a2b11-0c1d-4e2f-9a3b-5d6e7f809102,GPU-0a1b2c3d": "MIG-…,GPU-…",
    "MIG-GPU-8f6a2b11-0c1d-4e2f-9a3b-5d6e7f809102/1/0": "MIG-GPU-…",
    "no answer of box7 (box7.example.org)": "no answer of HOST (HOST)",
    "box77 and my-box7": "box77 and my-box7",
    "N/A, 1/2, granularity=fine,compact,1,0": "N/A, 1/2, granularity=fine,compact,1,0",
}


@pytest.mark.parametrize("words", WORDS)
def test_paths_identifiers_and_host_names_go(words):
    assert make_cleaner(("box7.example.org", "box7"))(words) == WORDS[words]


PIECES = (
    "/", "\\", "//", "~", ":", " ", "'", ".", "…", "-", "home", "Users", "media", "usr", "run", "opt",
    "joe", "joe.doe", "Joe Doe", "x.so", "file://", "https://", "C:", "box7", "box7.example.org", "GPU-8f6a2b11",
    "MIG-", "/1/0", "\n", "=", "HOST",
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@settings(max_examples=300, deadline=None)
def test_what_is_clean_stays_as_it_is(words):
    clean = make_cleaner(("box7.example.org", "box7"))
    assert clean(clean(words)) == clean(words)


@given(
    st.lists(st.sampled_from(("mnt", "c", "data", "run", "usr", "opt")), max_size=3),
    st.sampled_from(("home", "Users", "homes", "users", "media")),
    st.sampled_from(("alicia", "alicia.smith", "Alicia Maria Smith")),
    st.lists(st.sampled_from(("env", "lib", "x.so")), max_size=3),
    st.sampled_from("/\\"),
)
def test_a_person_under_a_folder_of_persons_is_never_named(before, holder, name, after, slash):
    parts = ["", *before, holder, name, *(after or [""])]
    assert "licia" not in make_cleaner(())(f"in {slash.join(parts)}: not found")


@pytest.mark.parametrize("name", ["a", "", "torch", "GPU", "localhost"])
def test_a_host_name_that_means_nothing_or_something_else_stays(name):
    assert make_cleaner((name,))(f"import {name}") == f"import {name}"


def test_the_words_of_others_in_the_document_are_cleaned():
    software = machine().software.model_copy(
        update={"environment": {"CUDA_VISIBLE_DEVICES": "GPU-8f6a2b11-0c1d"}}
    )
    words = "Traceback: /home/joe/x.py: RuntimeError"
    cpu = machine().fingerprints["cpu"]
    cpu = cpu.model_copy(update={"software": {"torch": "2.13.0", "MKL_CBWR": "/home/joe/x"}})
    test = Int8SelfTest(outcome="failed", worst_relative_error=None, words=words)
    found = leave_out_personal(
        machine(
            cpu=machine().cpu.model_copy(update={"int8_self_test": test}),
            software=software,
            fingerprints={"cpu": cpu},
            unanswered={"software.torch": "import torch: /home/joe/x/y.so"},
        )
    )
    assert found.software.environment == {"CUDA_VISIBLE_DEVICES": "GPU-…"}
    assert found.unanswered == {"software.torch": "import torch: …/y.so"}
    assert found.fingerprints["cpu"].software == {"torch": "2.13.0", "MKL_CBWR": "…/x"}
    assert found.cpu.int8_self_test.words == "Traceback: …/x.py: RuntimeError"


def test_the_document_of_this_machine_names_neither_user_nor_host_nor_home(tmp_path):
    home = tmp_path / "joe-the-secret"
    home.mkdir()
    compiler = home / "my++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    (home / "torch").mkdir()
    (home / "torch/__init__.py").write_text(f"raise OSError('{home}/libx.so: not found')")
    text = to_json(
        probe_apart(
            HOME=str(home),
            CXX=str(compiler),
            PYTHONPATH=str(home),
            MKL_DIR=f"{home}/mkl",
            MKL_VERBOSE_OUTPUT_FILE="/home/joe-the-secret",
            CUDA_VISIBLE_DEVICES="GPU-8f6a2b11-0c1d-4e2f-9a3b-5d6e7f809102",
        )
    )
    assert "libx.so: not found" in text
    for secret in ("joe-the-secret", str(tmp_path), "8f6a2b11", platform.node(), os.getcwd()):
        assert secret not in text
    if getpass.getuser() not in text.split():
        assert f"/{getpass.getuser()}/" not in text
