"""From what was heard of a method to its verdict, and to what to use instead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qprobe.doctor._method import Method
from qprobe.doctor.advice import advise
from qprobe.doctor.judge import Outcome, judge
from qprobe.documents.finding import Fix, Speed, Trial, Verdict
from tests.doctor.machines import load

ORDINARY, ODD = "bfloat16, M = 16, N = 256, K = 256", "bfloat16, M = 3, N = 256, K = 250"
CURE = Fix(text="update it")
MACHINE = load("v100_old_peft")
METHOD = Method("some-method", "Some", 8, "int8 weights", lambda _report: None, cure=CURE)


def right(name=ORDINARY) -> Trial:
    return Trial(name=name, outcome="right", error=0.01, limit=0.02)


def speed(ratio, low=None, high=None, m=1) -> Speed:
    return Speed(
        m=m, n=2048, k=2048, activation_dtype="bfloat16", median_s=1e-3, unquantized_s=ratio * 1e-3,
        unquantized_dtype="bfloat16", ratio=ratio, ratio_low=low or ratio, ratio_high=high or ratio,
    )  # fmt: skip


def verdict(*trials, speeds=(), method=METHOD, **more) -> Verdict:
    return judge(method, "cpu", Outcome(tuple(trials or [right()]), tuple(speeds), **more))


@pytest.mark.parametrize(
    ("speeds", "expected"),
    [
        ([speed(2.0, m=1), speed(1.5, m=32)], "fast"),
        ([speed(0.5, m=1), speed(0.9, m=32)], "slow"),
        ([speed(2.0, m=1), speed(0.5, m=32)], "works"),
        ([speed(2.0, 0.8, 3.0)], "works"),
        ([speed(0.7, 0.5, 1.3)], "works"),
        ([speed(1.02, 1.01, 1.03)], "works"),
        ([speed(0.98, 0.97, 0.99)], "works"),
        ([speed(2.0), speed(1.1, 0.7, 1.4, m=32)], "fast"),
        ([speed(0.3), speed(0.9, 0.7, 1.1, m=32)], "slow"),
        ([speed(2.0), speed(0.6, 0.4, 1.4, m=32)], "works"),
        ([speed(0.3), speed(1.3, 0.7, 1.4, m=32)], "works"),
        ([], "works"),
    ],
    ids=["faster", "slower", "mixed", "noisy-gain", "noisy-loss", "no-gain", "no-loss", "fast-and-noisy", "slow-and-noisy", "fast-perhaps-slow", "slow-perhaps-fast", "untimed"],
)  # fmt: skip
def test_fast_and_slow_are_said_only_beyond_the_noise(speeds, expected):
    assert verdict(speeds=speeds).verdict == expected


@pytest.mark.parametrize(("ratio", "expected"), [(0.2, "works"), (3.0, "works"), (0.01, "slow")])
def test_a_disturbed_figure_decides_only_what_no_disturbance_explains(ratio, expected):
    disturbed = speed(ratio).model_copy(update={"disturbance": 0.4})
    found = verdict(speeds=[disturbed])
    assert found.verdict == expected
    assert ("others took 40%" in found.why) == (expected == "works")


def test_a_spread_larger_than_the_difference_is_told_as_one():
    assert "undecided (0.8 to 3 times as fast) at M = 1" in verdict(speeds=[speed(2.0, 0.8, 3)]).why


def test_a_hundredth_is_told_as_a_hundred_times():
    assert "120 times slower at M = 32" in verdict(speeds=[speed(1 / 120, m=32)]).why


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (Trial(name=ODD, outcome="died", words="ends the process by SIGSEGV"), "by SIGSEGV"),
        (Trial(name=ODD, outcome="failed", words="KeyError: 'x'"), "KeyError: 'x'"),
        (Trial(name=ODD, outcome="wrong", error=1.4, limit=0.02), "relative error 1.4, 0.02"),
        (Trial(name=ODD, outcome="wrong", limit=0.02), "relative error not finite"),
    ],
    ids=["died", "failed", "wrong", "not-finite"],
)
def test_one_bad_step_breaks_it_and_it_is_told_where_it_is_right(bad, words):
    found = verdict(right(), bad, speeds=[speed(2.0)])
    assert found.verdict == "broken"
    assert words in found.why
    assert "M = 3, N = 256, K = 250" in found.why
    assert "right at bfloat16 (M = 16, N = 256, K = 256)" in found.why
    assert found.fix == CURE


@pytest.mark.parametrize("words", ["does not end within 10 s", "takes more than 60 s in all"])
def test_what_is_right_and_not_timed_in_time_is_not_broken(words):
    late = Trial(name=f"timing {ORDINARY}", outcome="died", words=words)
    found = verdict(right(), late)
    assert found.verdict == "works"
    assert words in found.why
    assert verdict(right(), late, speeds=[speed(2.0)]).verdict == "fast"
    assert verdict(late).verdict == "broken"
    memory = late.model_copy(update={"words": "takes more than 2.0 GiB of memory"})
    crash = late.model_copy(update={"words": "ends the process by SIGSEGV"})
    assert {verdict(right(), bad).verdict for bad in (memory, crash)} == {"broken"}


def test_a_crash_is_told_before_a_wrong_number():
    died = Trial(name=ODD, outcome="died", words="ends the process by SIGSEGV")
    wrong = Trial(name=ORDINARY, outcome="wrong", error=2.0, limit=0.1)
    assert "SIGSEGV" in verdict(wrong, died).why


def test_types_that_fail_alike_are_told_together():
    names = [f"{dtype}, M = 1, N = 8, K = 8" for dtype in ("bfloat16", "float16")]
    bad = [Trial(name=name, outcome="failed", words="KeyError") for name in names]
    assert verdict(*bad).why == "bfloat16, float16 (M = 1, N = 8, K = 8): KeyError"


def test_a_refusal_of_everything_is_unsupported_in_its_words_with_what_has_it():
    refused = Trial(name=ORDINARY, outcome="refused", words="needs sm_80")
    found = verdict(refused, lack="no tensor cores here")
    assert found.verdict == "unsupported"
    assert found.why == "needs sm_80; no tensor cores here"


def test_types_and_shapes_that_are_refused_are_told_with_the_reason():
    half = Trial(name="float16, M = 1, N = 8, K = 8", outcome="refused", words="only bfloat16")
    odd = Trial(name=ODD, outcome="refused", words="K is odd")
    found = verdict(right(), half, odd, speeds=[speed(2.0)])
    assert found.verdict == "fast"
    assert "; refuses float16: only bfloat16; refuses K = 250: K is odd" in found.why


def test_a_product_that_wants_more_rows_works_where_it_has_them():
    """As torch._int_mm does on a GPU, which takes more than 16 rows, and K in multiples of 8."""

    def refused(m, k, words, kind="bfloat16"):
        return Trial(name=f"{kind}, M = {m}, N = 256, K = {k}", outcome="refused", words=words)

    trials = [
        trial
        for kind in ("bfloat16", "float16")
        for trial in (
            right(f"{kind}, M = 32, N = 256, K = 256"),
            refused(1, 256, "self.size(0) needs to be greater than 16, but got 1", kind),
            refused(3, 256, "self.size(0) needs to be greater than 16, but got 3", kind),
            refused(32, 250, "K must be a multiple of 8", kind),
        )
    ]
    late = refused(
        1, 2048, "self.size(0) needs to be greater than 16, but got 1", "timing bfloat16"
    )
    found = verdict(*trials, late, speeds=[speed(1.5, m=32)])
    assert found.verdict == "fast"
    assert found.why.startswith(
        "1.5 times as fast at M = 32 (unquantized: 1); refuses M = 1, M = 3: self.size(0)"
    )
    assert "; refuses K = 250: K must be a multiple of 8" in found.why
    assert found.fix is None


def test_a_shape_that_one_type_alone_refuses_is_told_with_the_type():
    other = right("float32, M = 3, N = 256, K = 250")
    odd = Trial(name=ODD, outcome="refused", words="K is odd")
    assert "; refuses K = 250 in bfloat16: K is odd" in verdict(right(), other, odd).why


def test_a_merge_that_one_width_refuses_is_told_so():
    name = "float16, merged before any forward pass, K = {}"
    odd = Trial(name=name.format(250), outcome="refused", words="blocks of 64")
    found = verdict(right(name.format(256)), odd)
    assert (found.verdict, found.why) == ("works", "right; refuses K = 250: blocks of 64")


def test_what_it_could_have_had_is_told():
    lack = Trial(name="C++ kernels", outcome="refused", words="they are not compiled yet")
    found = verdict(right(), lack, speeds=[speed(2.0)])
    assert found.verdict == "fast"
    assert "without its C++ kernels: they are not compiled yet" in found.why


def test_an_import_that_worked_is_no_evidence():
    assert verdict(Trial(name="import x", outcome="right")).verdict == "unsupported"


def test_a_process_that_ended_between_steps_is_broken():
    found = verdict(right(), ending="ends the process by SIGKILL", output="noise\nlast words")
    assert (found.verdict, found.why) == ("broken", "it ends the process by SIGKILL")
    assert "its last words: last words" in found.detail


def test_what_is_slow_for_a_lack_of_hardware_says_so():
    assert "no VNNI" in verdict(speeds=[speed(0.2)], lack="no VNNI").why
    assert "no VNNI" not in verdict(speeds=[speed(2.0)], lack="no VNNI").why


def methods(**bits) -> dict[str, Method]:
    return {n: Method(n, n.upper(), b, f"int{b}", lambda _report: None) for n, b in bits.items()}


def given(name, word, *speeds, device="cpu") -> Verdict:
    return Verdict(method=name, device=device, verdict=word, why="", evidence="measured",
                   speeds=tuple(speeds))  # fmt: skip


def fix_of(name, verdicts, known) -> Fix:
    fix = {item.method: item for item in advise(verdicts, known, MACHINE)}[name].fix
    assert fix is not None
    return fix


def test_the_fastest_of_as_many_bits_is_advised_with_its_measured_gain():
    known = methods(a=8, b=8, c=4, bad=8)
    verdicts = [
        given("a", "works", speed(1.3)),
        given("b", "fast", speed(1.8)),
        given("c", "fast", speed(3.0)),
        given("bad", "slow", speed(0.1)),
    ]
    fix = fix_of("bad", verdicts, known)
    assert "Use b (B) instead: 1.8 times as fast as unquantized at M = 1, measured here" in fix.text
    assert fix.commands == ("qprobe plan --model MODEL --device cpu",)


def test_what_quantizes_the_same_is_advised_before_what_is_faster():
    known = methods(a=8, b=8, bad=8)
    known["b"] = Method("b", "B", 8, "int8 weights and activations", lambda _report: None)
    found = [given("a", "works", speed(1.3)), given("b", "fast", speed(1.8)), given("bad", "slow")]
    assert "Use a (A)" in fix_of("bad", found, known).text


def test_what_a_plan_can_apply_is_advised_where_it_is_about_as_fast():
    known = methods(a=8, bad=8)
    known["qprobe-x"] = Method("qprobe-x", "X", 8, "int8", lambda _report: None)
    found = [given("a", "fast", speed(2.0)), given("bad", "slow")]
    near, far = (given("qprobe-x", "fast", speed(gain)) for gain in (1.7, 1.2))
    assert "Use qprobe-x" in fix_of("bad", [*found, near], known).text
    assert "Use a (A)" in fix_of("bad", [*found, far], known).text


def test_another_number_of_bits_where_none_of_as_many_is_fast():
    fix = fix_of(
        "bad", [given("c", "fast", speed(3.0)), given("bad", "broken")], methods(c=4, bad=8)
    )
    assert "Use c" in fix.text


def test_not_quantizing_is_advised_where_nothing_is_faster():
    found = [given("a", "works", speed(0.8)), given("bad", "unsupported")]
    assert "16 bits" in fix_of("bad", found, methods(a=8, bad=8)).text


def test_another_device_or_runtime_is_no_way_out():
    known = methods(a=8, bad=8)
    known["ort"] = Method("ort", "O", 8, "f", lambda _report: None, in_torch=False)
    found = [
        given("a", "fast", speed(2.0), device="cuda:0"),
        given("ort", "fast", speed(4.0)),
        given("bad", "slow", speed(0.1)),
    ]
    text = fix_of("bad", found, known).text
    assert "modelled" in text
    assert "at most 2.0 times" in text


def test_a_cure_that_is_known_stays_and_what_is_fine_needs_none():
    broken = given("bad", "broken").model_copy(update={"fix": CURE})
    fine = given("a", "fast", speed(2.0))
    assert advise([broken, fine], methods(a=8, bad=8), MACHINE) == (broken, fine)


def test_a_card_that_lacks_it_is_told_what_to_use_at_what_modelled_cost():
    known = {"bad": Method("bad", "B", 8, "f", lambda _report: None, feature="int8")}
    fix = fix_of("bad", [given("bad", "unsupported", device="cuda:0")], known)
    assert "W8A16" in fix.text
    assert "Modelled from the data sheet" in fix.text
    assert fix.commands == ("qprobe plan --model MODEL --device cuda:0",)


def test_of_merges_that_are_right_the_worst_is_told_and_no_other():
    orders = ("bfloat16, merged before a forward pass, K = 256", "bfloat16, merged after, K = 250")
    errors = (0.017, 0.021)
    merges = [
        Trial(name=name, outcome="right", error=error, limit=0.08, words=f"off by {error}")
        for name, error in zip(orders, errors, strict=True)
    ]
    for given in (merges, merges[::-1]):
        found = verdict(*given)
        assert (found.verdict, found.why) == ("works", "at worst, off by 0.021")


@pytest.mark.parametrize("outcome", ["failed", "died"])
def test_what_cannot_be_imported_is_to_be_installed_anew_unless_it_is_torch(outcome):
    """Told to use something else before, as if nothing could be done about it."""
    importing = Trial(name="import x", outcome=outcome, words="OSError: libx.so")
    own = replace(METHOD, needs=("torch", "x", "y"))
    assert verdict(importing, method=own).fix.commands == (
        "pip install --force-reinstall --no-deps x y",
    )
    for needs in (("torch",), ("torch", "x|x-gpu")):
        assert verdict(importing, method=replace(METHOD, needs=needs)).fix == CURE
