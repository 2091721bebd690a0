"""Can a LoRA be merged into a model quantized by bitsandbytes, and does its int8 run here?"""

from __future__ import annotations

from qprobe.doctor._check import Check, version_of
from qprobe.doctor.checks._cuda import is_before_turing, lacks_tensor_cores
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine

# bitsandbytes 0.45 and PEFT 0.14 removed the merge through `igemmlt`, which exists from Turing on.
OLDEST = {"bitsandbytes": (0, 45), "peft": (0, 14)}
UPGRADE = Fix(
    text="Upgrade both: PEFT ≥ 0.14 merges into int8 weights without igemmlt.",
    commands=('pip install --upgrade "bitsandbytes>=0.45" "peft>=0.14"',),
    link="https://github.com/bitsandbytes-foundation/bitsandbytes/issues/1242",
)


def check_peft_bitsandbytes(machine: Machine) -> Finding:
    """Judge the installed versions by the oldest card."""
    packages = machine.software.packages
    found = {name: packages[name] for name in OLDEST if name in packages}
    if "bitsandbytes" not in found:
        return CHECK.skip("bitsandbytes is not installed")
    versions = ", ".join(f"{name} {version}" for name, version in found.items())
    weak = next(
        (gpu for gpu in machine.gpus if is_before_turing(gpu) or lacks_tensor_cores(gpu)), None
    )
    old = [name for name, version in found.items() if version_of(version) < OLDEST[name]]
    if old and weak is not None:
        return CHECK.fail(
            "igemmlt is not available on this card",
            f"{versions}: merging a LoRA into int8 weights ends with `igemmlt not available` on "
            f"{weak.name}, which has no int8 tensor cores.",
            UPGRADE,
        )
    if old and machine.gpus:
        return CHECK.warn(
            f"{' and '.join(old)} too old to merge a LoRA safely",
            f"{versions}: a merge into int8 weights goes through igemmlt, which not every card has.",
            UPGRADE,
        )
    if weak is not None:
        return CHECK.warn(
            "LLM.int8() has no fallback on this card",
            f"{versions}: since 0.45 bitsandbytes calls the int8 tensor cores without asking for "
            f"them; {weak.name} has none, so a layer fails or crawls, by its shape.",
            Fix(
                text="Use 4-bit weights (NF4) of bitsandbytes, or qprobe's W8A16, which computes in "
                "16 bits; measure before choosing.",
                commands=("qprobe bench --device cuda:0",),
            ),
        )
    if not machine.gpus and "peft" in found:
        return CHECK.warn(
            "on a CPU, merge into NF4 only before use",
            f"{versions}: on a CPU the first forward pass repacks NF4 weights in place, and PEFT then "
            "merges into bytes that it misreads, silently (seen with 0.50.2 and PEFT 0.21.2).",
            Fix(text="Merge before the first forward pass, or merge into unquantized weights."),
        )
    return CHECK.ok(versions)


CHECK = Check(
    id="peft-bitsandbytes",
    title="bitsandbytes",
    why="a merge that fails, or an int8 layer that crawls, shows only at run time",
    needs=(),
    run=check_peft_bitsandbytes,
)
