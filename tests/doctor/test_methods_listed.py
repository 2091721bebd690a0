"""What holds for every method; a new one is tried by itself."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from qprobe.doctor import devices_of, list_checks, list_methods
from qprobe.doctor.native import PROCESSORS, lack_of
from qprobe.doctor.recorded import absent_of, not_installed
from qprobe.doctor.rules import hardware
from qprobe.doctor.trying import Trying, in_order
from tests.doctor.machines import load

METHODS = {method.id: method for method in list_methods()}
QUICK = [name for name, method in METHODS.items() if method.level == "quick"]


def test_the_methods_that_there_are():
    assert set(METHODS) == {
        "bitsandbytes-fp4", "bitsandbytes-int8", "bitsandbytes-nf4", "compressed-tensors-w4a16",
        "compressed-tensors-w8a8", "gptqmodel-int4", "hqq-int4", "hqq-int8", "onnxruntime-int4",
        "onnxruntime-int8", "openvino-int4", "openvino-int8", "peft-merge-int8", "peft-merge-nf4",
        "qprobe-fp8-dynamic", "qprobe-nf4", "qprobe-w4a16", "qprobe-w4a16-asym",
        "qprobe-w4a16-g32", "qprobe-w4a16-g64", "qprobe-w8a16", "qprobe-w8a8", "quanto-fp8",
        "quanto-int4", "quanto-int8", "torch-int-mm", "torch-int4pack", "torch-int4pack-fp16",
        "torch-int4pack-fp32", "torch-int8pack", "torch-int8pack-fp16", "torch-int8pack-fp32",
        "torch-scaled-mm", "torchao-fp8", "torchao-fp8-dynamic", "torchao-int4",
        "torchao-int4-opaque", "torchao-int8", "torchao-int8-dynamic",
    }  # fmt: skip


def test_every_quantized_scheme_is_a_method():
    from qprobe.documents.scheme import SCHEMES

    own = {f"qprobe-{s.name.lower().replace('_', '-')}" for s in SCHEMES.values() if s.is_quantized}
    assert own == {name for name in METHODS if name.startswith("qprobe-")}


def test_a_run_without_names_tries_some_that_need_nothing_but_torch():
    assert len(QUICK) >= 4
    assert all(METHODS[name].needs == ("torch",) for name in QUICK)


def test_what_is_always_there_comes_first():
    order = [method.id for method in in_order(list_methods()[::-1])]
    assert order == [method.id for method in list_methods()]
    libraries = list(dict.fromkeys(name.partition("-")[0] for name in order))
    assert libraries[:2] == ["qprobe", "torch"]
    assert libraries[2:] == sorted(libraries[2:])


@pytest.mark.parametrize("name", METHODS)
def test_method_introduces_itself(name):
    method = METHODS[name]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert len(name) <= 24, "a table of 80 columns has no more"
    assert method.title
    assert method.family
    assert method.bits in (4, 8)
    assert method.needs
    assert set(method.devices) <= {"cpu", "cuda"}
    assert method.feature in {"", *PROCESSORS}
    assert method.feature in {"", *hardware.FEATURES}
    assert method.install_command.startswith("pip install ")


def test_no_name_is_both_a_check_and_a_method():
    assert not {check.id for check in list_checks()} & set(METHODS)


def test_listing_methods_imports_none_of_what_they_need():
    code = (
        "import sys; from qprobe.doctor import list_methods; assert list_methods();"
        "print(*[n for n in ('torch', 'numpy', 'bitsandbytes', 'torchao', 'peft') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_doctor_itself_does_without_torch(tmp_path):
    """It is the processes of the probe and of the methods that import it."""
    code = (
        "import sys; from qprobe.flow.diagnose import diagnose;"
        "found = diagnose(only=('torch-int-mm', 'memory'), device='cpu');"
        "print(found.verdicts[0].verdict, found.findings[0].id, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    verdict, check, has_torch = done.stdout.split()
    assert verdict in ("fast", "works", "slow")
    assert (check, has_torch) == ("memory", "False")


def test_what_comes_with_every_run_is_right_here():
    """By execution: qprobe's own kernels and torch's product give what they should."""
    with Trying(load("epyc_avx2"), is_full=False) as trying:
        for name in QUICK:
            verdict = trying.verdict(METHODS[name], "cpu")
            assert verdict.verdict in ("fast", "works", "slow"), verdict.why
            ended = [trial for trial in verdict.trials if trial.outcome not in ("right", "refused")]
            assert not ended
            assert [speed.m for speed in verdict.speeds] == [1, 32]


def test_a_method_with_one_of_two_distributions_is_there():
    method = METHODS["onnxruntime-int8"]
    assert absent_of(method, {"torch": "2", "onnxruntime-gpu": "1", "onnx": "1"}) == ()
    assert absent_of(method, {"torch": "2", "onnx": "1"}) == ("onnxruntime or onnxruntime-gpu",)


def test_a_gtx_16_says_75_and_has_none():
    machine = load("v100_old_peft")
    gpu = machine.gpus[0].model_copy(
        update={"name": "NVIDIA GeForce GTX 1660 Ti", "compute_capability": "7.5"}
    )
    assert "has no int8" in lack_of("int8", machine.model_copy(update={"gpus": (gpu,)}), "cuda:0")
    real = gpu.model_copy(update={"name": "Tesla T4"})
    assert lack_of("int8", machine.model_copy(update={"gpus": (real,)}), "cuda:0") == ""


@pytest.mark.parametrize("feature", PROCESSORS)
def test_what_is_not_known_is_no_lack(feature):
    machine = load("v100_old_peft")
    gpu = machine.gpus[0].model_copy(update={"compute_capability": None})
    cpu = machine.cpu.model_copy(update={"features": ()})
    unknown = machine.model_copy(update={"gpus": (gpu,), "cpu": cpu})
    assert lack_of(feature, unknown, "cuda:0") == ""
    assert lack_of(feature, unknown, "cuda:7") == ""
    assert lack_of(feature, unknown, "cpu") == ""


def test_a_processor_without_vnni_is_told_what_has_int8():
    machine = load("epyc_avx2")
    assert "no instructions for int8 products" in lack_of("int8", machine, "cpu")
    assert "AVX512-VNNI" in lack_of("int8", machine, "cpu")
    assert lack_of("int8", load("xeon_amx"), "cpu") == ""


def test_two_gpus_of_a_kind_are_tried_once():
    machine = load("v100_old_peft")
    gpus = tuple(
        machine.gpus[0].model_copy(update={"index": index, "device": f"cuda:{index}"})
        for index in range(3)
    )
    other = gpus[2].model_copy(update={"name": "Another"})
    assert devices_of(machine.model_copy(update={"gpus": (*gpus[:2], other)})) == (
        "cpu",
        "cuda:0",
        "cuda:2",
    )


def test_what_brings_another_torch_is_to_be_installed_apart():
    told = {m.id: not_installed(m, "cpu", ("it",)).fix.text for m in list_methods()}
    assert "environment of its own" in told["gptqmodel-int4"]
    assert "environment" not in told["hqq-int4"]
