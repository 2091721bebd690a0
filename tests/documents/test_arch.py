"""What an architecture has is looked up, never inferred from a later or an earlier one."""

import pytest

from qprobe.documents import arch

GTX = "NVIDIA GeForce GTX 1660 Ti"


@pytest.mark.parametrize(
    ("feature", "earlier", "later"),
    [
        ("imma_16864_s4", "8.9", "9.0"),
        ("qmma_16832_fp8", "8.9", "9.0"),
        ("wgmma", "9.0", "10.0"),
        ("tcgen05_f16", "11.0", "12.0"),
        ("tcgen05_i8", "10.0", "10.3"),
        ("hmma_884", "7.5", "8.0"),
        ("imma_8816", "9.0", "10.0"),
    ],
)
def test_a_later_architecture_lacks_what_an_earlier_one_has(feature, earlier, later):
    assert arch.support(feature, earlier) == "native"
    assert arch.support(feature, later) in ("emulated", "absent")
    assert arch.missing((feature,), later) == (feature,)


def test_fp8_comes_back():
    found = [arch.support("qmma_16832_fp8", c) for c in ("8.6", "8.9", "9.0", "10.3", "12.0")]
    assert found == ["absent", "native", "emulated", "emulated", "native"]


def test_an_unknown_architecture_is_unknown():
    for capability in ("5.2", "8.8", "10.7", "13.0", "", "new"):
        assert {arch.support(feature, capability) for feature in arch.FEATURES} == {None}
        assert arch.has_tensor_cores(capability) is None
        assert arch.ops_per_s("int8", capability, 100, 1e9) is None
        assert arch.missing(("ldmatrix",), capability) == ("ldmatrix",)


def test_an_unknown_feature_is_an_error():
    with pytest.raises(KeyError, match="warp_speed"):
        arch.support("warp_speed", "9.0")


def test_a_gtx_16_says_7_5_and_has_no_tensor_cores():
    assert arch.has_tensor_cores("7.5", "Tesla T4")
    assert arch.has_tensor_cores("7.5", "NVIDIA GeForce GTX 1660 Ti") is False
    assert arch.support("imma_8816", "7.5", "Tesla T4") == "native"
    assert arch.support("imma_8816", "7.5", GTX) == "emulated"
    assert arch.support("dp4a", "7.5", GTX) == "native"
    assert arch.support("ldmatrix", "7.5", GTX) == "native"
    assert arch.support("hmma_16816", "7.5", GTX) == "absent"
    assert arch.ops_per_s("int8", "7.5", 24, 1.77e9, GTX) is None


@pytest.mark.parametrize("name", ["GeForce GTX 1080", "Quadro P4000", ""])
def test_pascal_has_no_tensor_cores(name):
    assert arch.has_tensor_cores("6.1", name) is False


def test_a_specific_target_counts_as_its_architecture():
    assert arch.support("wgmma", "9.0a") == "native"
    assert arch.target_for("9.0", ("wgmma", "ldmatrix")) == "9.0a"
    assert arch.target_for("9.0", ("bulk_multicast",)) == "9.0a"
    assert arch.target_for("9.0", ("ldmatrix",)) == "9.0"


@pytest.mark.parametrize(
    ("target", "capability", "runs"),
    [
        ("8.0", "8.0", True),
        ("8.0", "8.9", True),
        ("8.6", "8.0", False),
        ("8.9", "9.0", False),
        ("9.0a", "9.0", True),
        ("9.0a", "10.0", False),
        ("10.0", "10.3", True),
        ("10.0a", "10.3", False),
        ("10.0", "12.0", False),
        ("12.0", "12.1", True),
        ("7.0", "7.5", True),
    ],
)
def test_code_runs_on_its_major_version_from_its_minor_one_on(target, capability, runs):
    assert arch.runs_on(target, capability) is runs


def test_the_table_says_something_of_every_architecture():
    assert all(tuple(row) == arch.CAPABILITIES for row in arch.FEATURES.values())
    assert set(arch.SHARED_BYTES) == set(arch.CAPABILITIES)
    assert set(arch.OPS_PER_CLOCK) <= set(arch.CAPABILITIES)
    assert (arch.SPECIFIC | arch.TUNED | arch.TENSOR).issubset(arch.FEATURES)


@pytest.mark.parametrize(
    ("unit", "capability", "sm_count", "clock_hz", "name", "published"),
    [
        ("float16", "7.0", 80, 1.53e9, "Tesla V100-SXM2-16GB", 125e12),
        ("dp4a", "6.1", 30, 1.531e9, "Tesla P40", 47e12),
        ("int8", "7.5", 40, 1.59e9, "Tesla T4", 130e12),
        ("int8", "8.0", 108, 1.41e9, "NVIDIA A100-SXM4-80GB", 624e12),
        ("float16", "8.6", 82, 1.695e9, "NVIDIA GeForce RTX 3090", 71e12),
        ("float16", "8.6", 72, 1.695e9, "NVIDIA A10", 125e12),
        ("float8_e4m3fn", "8.9", 58, 2.04e9, "NVIDIA L4", 242e12),
        ("bfloat16", "9.0", 132, 1.83e9, "NVIDIA H100 80GB HBM3", 989e12),
    ],
)
def test_peaks_are_as_published(unit, capability, sm_count, clock_hz, name, published):
    found = arch.ops_per_s(unit, capability, sm_count, clock_hz, name)
    assert found == pytest.approx(published, rel=0.02)


def test_no_peak_is_invented():
    assert arch.ops_per_s("int4", "9.0", 132, 1.8e9) is None
    assert arch.ops_per_s("int8", "10.3", 148, 1.9e9) is None
