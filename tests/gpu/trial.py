"""Runs everything of ours once on the first card, before the tests: what brings it down is left out of all that follows.

`python -m tests.gpu.trial` starts itself anew after each crash, for a process that has lost its card cannot go on.
"""

from __future__ import annotations

import faulthandler
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from qprobe.errors import CrashError
from qprobe.kernels.cuda import driver, suspects
from qprobe.kernels.cuda.probes import list_peaks
from qprobe.timing.cache import cache_folder
from tests.gpu.primitives import ask, copy_sources, lacks, read_golden

ONCE = "--once"
CRASHED = 3
LIMIT_S = 45.0
"""For all tries together."""
HANGING_S = 20.0
"""For one step: a kernel that waits for what never comes gives up after ten seconds."""
SHAPES = ((3, 96, 512), (200, 520, 1152))
"""One tile, and some with tails; few rows, and many."""
DTYPES = (torch.float16, torch.float32)


def steps(device: torch.device) -> Iterator[tuple[str, Callable[[], object]]]:
    """Name → what runs a probe, or a kernel on a shape, in a trial of its own."""
    from tests.gpu.products import PAIRS, make_product

    yield from _primitives()
    for probe in list_peaks(device):
        yield probe.name, probe.find_fault
    for kernel, scheme in PAIRS:
        for dtype in DTYPES:
            for shape in SHAPES:
                product = make_product(kernel, scheme, dtype, *shape, device)
                spec = replace(product.spec, device="cuda:0")
                if kernel.objection(spec):
                    continue

                def run(product=product, spec=spec):
                    with product.kernel.trial(spec):
                        product.run()

                yield f"{kernel.id} {scheme}", run


def _primitives() -> Iterator[tuple[str, Callable[[], object]]]:
    """What the kernels are made of, by itself."""
    card = driver.find_card(0)
    with tempfile.TemporaryDirectory() as folder:
        sources = copy_sources(Path(folder))
        for name, vector in sorted(read_golden().items(), key=lambda item: sources[item[0]].name):
            source = sources[name]
            if lacks(source, name, card) or suspects.find_crash(source, card):
                continue

            def run(source=source, name=name, vector=vector):
                with suspects.trial(source, 0):
                    ask(source, name, vector, 0)

            yield name, run


def run_once() -> int:
    """Every step; CRASHED where one brought the card down. A step that hangs ends the process."""
    for name, run in steps(driver.current().find_device(0)):
        faulthandler.dump_traceback_later(HANGING_S, exit=True)
        try:
            run()
        except CrashError as error:
            print(f"{name}: {error}", flush=True)
            return CRASHED
        except Exception as error:  # The tests say so in full.
            print(f"{name}: {' '.join(str(error).split()):.200}", flush=True)
        finally:
            faulthandler.cancel_dump_traceback_later()
    return 0


def run_until_nothing_crashes(once: tuple[str, ...], limit_s: float = LIMIT_S) -> list[str]:
    """Run the command again while it crashes; what is wrong, the names of the notes first."""
    shutil.rmtree(cache_folder(suspects.FOLDER), ignore_errors=True)
    end, known = time.monotonic() + limit_s, []
    while True:
        try:
            left = max(end - time.monotonic(), 0.1)
            status = subprocess.run(once, check=False, timeout=left).returncode
        except subprocess.TimeoutExpired:
            for path in cache_folder(suspects.FOLDER).glob("*"):
                if path.name not in known:  # It was not given the time to come back.
                    path.unlink()
            return [*known, f"the rest: {limit_s:.0f} s were too short"]
        notes = sorted(path.name for path in cache_folder(suspects.FOLDER).glob("*"))
        if status == 0:
            return notes
        if notes == known:  # It would crash again.
            return [*notes, f"the rest: a try ended with {status}"]
        known = notes


def main() -> int:
    """0 if nothing crashed."""
    if ONCE in sys.argv[1:]:
        return run_once()
    found = run_until_nothing_crashes((sys.executable, "-m", "tests.gpu.trial", ONCE))
    for words in found:
        print(f"not tried, or left out from here on for it brought the card down: {words}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
