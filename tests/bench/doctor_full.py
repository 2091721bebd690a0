"""`doctor --full` beside each method's own library by hand: `python -m tests.bench.doctor_full [FOLDER]`.

In the environment of `make peers`. The doctor runs first; then each method once more, in a process of its own, by
the few lines that somebody would write who knows the library: every step that the doctor tried, and times. Writes
both side by side to reports/ or to FOLDER, and ends with 1 where they disagree. Takes some ten minutes; nothing
else should run meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from qprobe._discover import discover_in
from qprobe.documents.files import parse_document, write_text
from qprobe.documents.finding import Diagnosis, Verdict
from tests.bench.doctor_beside import Hand, StepByHand, compare, steps_of
from tests.bench.doctor_page import page

ROOT = Path(__file__).parents[2]
BY_HAND = (sys.executable, "-m", "tests.bench.doctor_by_hand")
KEEP_FREED_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
}
"""As the doctor has its processes do: without, the C library gives memory back after each call in one process and
not in the next, and the same layer takes twice as long."""
LIMIT_S = 600.0
METHODS = {method.id: method for method in discover_in("qprobe.doctor.methods", "METHOD")}


def run_doctor() -> Diagnosis:
    """The real command, its JSON."""
    command = [sys.executable, "-m", "qprobe", "doctor", "--full", "--json", "--device", "cpu"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=False
    )
    return parse_document(Diagnosis, done.stdout, "doctor --full --json")


def environment() -> dict[str, str]:
    """This tree first; what else is on the path, as a package that is not in the environment, stays."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}


def run_by_hand(verdict: Verdict) -> Hand:
    """Each step of the method in a process of its own, in another where one dies, and its times."""
    dtype = verdict.speeds[0].activation_dtype if verdict.speeds else "bfloat16"
    rows = ",".join(str(speed.m) for speed in verdict.speeds)
    left = list(steps_of(verdict))
    found = Hand()
    while left or rows:
        arguments = [verdict.method, dtype, rows, str(METHODS[verdict.method].bits), *left]
        lines, ending = _lines([*BY_HAND, *arguments])
        begun = [line["begin"] for line in lines if "begin" in line]
        for line in lines:
            if "step" in line:
                found.steps[line["step"]] = StepByHand(line.get("error"), line.get("words", ""))
            elif "ratios" in line:
                found.ratios.update({int(m): tuple(r) for m, r in line["ratios"].items()})
        if not ending:
            return found
        last = begun[-1] if begun else "its start"
        if last in left:
            found.steps[last] = StepByHand(None, ending, is_dead=True)
            left = left[left.index(last) + 1 :]
        else:  # before the first step, or while it was timed
            found.words = f"{last}: {ending}"
            return found
    return found


def _lines(command: Sequence[str]) -> tuple[list[dict], str]:
    """What a process said, and how it ended where that was not as it should."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment() | KEEP_FREED_MEMORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out, err = process.communicate(timeout=LIMIT_S)
        ending = ""
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        ending = f"no end within {LIMIT_S:g} s"
    if process.returncode and not ending:
        last = err.strip().rpartition("\n")[2]
        ending = ": ".join(filter(None, (f"status {process.returncode}", last[:120])))
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")], ending


def main(folder: str = "") -> int:
    """Run both and write the page."""
    diagnosis = run_doctor()
    hands = []
    for verdict in diagnosis.verdicts:
        print(f"by hand: {verdict.method}", file=sys.stderr, flush=True)
        hands.append((verdict, run_by_hand(verdict)))
    slug = diagnosis.machine.fingerprints["cpu"].slug
    where = Path(folder) if folder else ROOT / "reports" / slug
    where.mkdir(parents=True, exist_ok=True)
    text = page(diagnosis, hands)
    write_text(text, where / f"doctor-full-{datetime.now(UTC):%Y-%m-%d}.md")
    print(text)
    return int(any(compare(verdict, hand) for verdict, hand in hands))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
