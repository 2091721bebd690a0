"""Are int8 products right on this CPU?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._cuda import runs_on_gpu
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Int8SelfTest, Machine


def check_int8_arithmetic(machine: Machine) -> Finding:
    """Read the self-test, which multiplied and compared."""
    test = machine.cpu.int8_self_test
    if test is None:
        return CHECK.skip("not tested", _words_without_test(machine))
    match test.outcome:
        case "exact":
            return CHECK.ok("exact", test.words)
        case "saturates":
            return _explain_saturation(machine, test)
        case "wrong":
            return CHECK.fail(
                "int8 products are wrong, with 7-bit codes too",
                test.words,
                Fix(
                    text="Upgrade torch; until the products are right, use BF16, W8A16 or NONE.",
                    commands=("pip install --upgrade torch",),
                ),
            )
        case "failed":
            return CHECK.fail(
                "the int8 self-test did not run",
                test.words,
                Fix(
                    text="Upgrade torch, and run the test by itself to see all of its words; until "
                    "it runs, use BF16, W8A16 or NONE.",
                    commands=(
                        "pip install --upgrade torch",
                        "python -m qprobe.probe.self_test",
                    ),
                ),
            )


def _words_without_test(machine: Machine) -> str:
    words = machine.unanswered.get("cpu.int8_self_test", "")
    features = machine.cpu.features
    if "avx2" in features and not {"avx512_vnni", "avx_vnni", "amx_int8"}.intersection(features):
        words += (
            ". Without VNNI, as here, oneDNN was seen to clip sums of int8 products at 16 bits."
        )
    return words.removeprefix(". ")


def _explain_saturation(machine: Machine, test: Int8SelfTest) -> Finding:
    summary = "sums clip at 16 bits; int8 layers use 7-bit codes"
    detail = (
        f"{test.words}. Without VNNI, pairs of 8-bit products are added in 16 bits. qprobe keeps "
        "weights within ±63 here, which is exact and costs one bit; other libraries' int8 layers "
        "may give wrong results on this CPU without a word."
    )
    if runs_on_gpu(machine):
        return CHECK.ok(summary, detail)
    return CHECK.warn(
        summary,
        detail,
        Fix(
            text="Nothing, with qprobe's layers. Compare those of other libraries with fp32 before "
            "use, or run on a CPU with VNNI (Cascade Lake, Zen 4 or newer)."
        ),
    )


CHECK = Check(
    id="int8-arithmetic",
    title="int8 on the CPU",
    why="some CPUs clip the sums of int8 products and return wrong numbers silently",
    needs=("torch",),
    asks=("facts", "int8"),
    run=check_int8_arithmetic,
)
