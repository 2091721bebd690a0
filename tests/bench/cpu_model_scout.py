"""Tries the peers on a whole model, a process for each: who crashes, hangs or errs is found there.

`python -m tests.bench.cpu_model_scout` is that process: one request as JSON on stdin.
"""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from qprobe.checkpoint import read_model
from qprobe.checkpoint.forward import run_forward
from qprobe.checkpoint.loading import load_module
from qprobe.checkpoint.request import time_request
from qprobe.documents.objective import Objective
from qprobe.timing.allocator import keep_freed_memory
from tests.bench.cpu_convert import Conversion, conversions_of, converted_tensors
from tests.bench.cpu_requests import draw_ids, read_ids
from tests.bench.peers._peer import Peer, all_peers
from tests.bench.scouting import (
    Pair,
    Scouted,
    describe_error,
    scout_in_processes,
    tell_done,
    tell_trying,
)

MAKE_S, RUN_S = 300.0, 120.0
WRONG = 1.2
"""Above this relative error an output has nothing to do with the model's; 4 bits reach 0.5."""


def scout_model(peer: Peer, folder: Path, objectives: Sequence[Objective]) -> dict[Pair, Scouted]:
    """Try a peer on a model; (key, number of the request) → what came of it."""
    keys = [conversion.key for conversion in conversions_of(peer)]
    wanted = [(key, number) for key in keys for number in range(len(objectives))]
    if words := peer.absent():
        return dict.fromkeys(wanted, Scouted("absent", words))
    request = {
        "source": peer.name,
        "folder": str(folder),
        "requests": [(o.batch, o.prompt, o.generate) for o in objectives],
    }
    return scout_in_processes("tests.bench.cpu_model_scout", request, wanted)


def main() -> None:
    """Answer one request: {source, folder, requests: [[B, P, G], …], wanted: [[key, number], …]}."""
    request = json.loads(sys.stdin.readline())
    warnings.simplefilter("ignore")
    keep_freed_memory()
    model, stored = read_model(request["folder"]), load_module(request["folder"])
    ids = read_ids(Path(request["folder"]), model.vocab_size)
    with torch.no_grad():
        exact = run_forward(stored, ids)
    for conversion in conversions_of(all_peers()[request["source"]]):
        numbers = [number for key, number in request["wanted"] if key == conversion.key]
        if not numbers:
            continue
        tell_trying(conversion.key, numbers[0], MAKE_S)
        made = _convert(conversion, stored, converted_tensors(model), ids, exact)
        for number in numbers:
            if isinstance(made, Scouted):
                tell_done(conversion.key, number, made)
                continue
            module, error = made
            tell_trying(conversion.key, number, RUN_S)
            batch, prompt, generate = request["requests"][number]
            request_ids = draw_ids(model.vocab_size, batch, prompt)
            tell_done(conversion.key, number, _run(module, request_ids, generate, error))


def output_error(exact: Tensor, y: Tensor) -> float:
    """‖y−ŷ‖/‖y‖, infinite where y is not finite."""
    wide = exact.double()
    error = float((wide - y.double()).norm() / wide.norm())
    return error if math.isfinite(error) else math.inf


def _convert(
    conversion: Conversion, stored: nn.Module, tensors: Sequence[str], ids: Tensor, exact: Tensor
) -> tuple[nn.Module, float] | Scouted:
    """The converted model and its error, or why there is none."""
    try:
        module = conversion.apply(stored, tensors)
        with torch.no_grad():
            error = output_error(exact, run_forward(module, ids))
    except Exception as raised:  # A package may raise anything: it is the reason.
        return Scouted("failed", describe_error(raised))
    if error > WRONG:
        reason = f"wrong outputs: relative error {error:.2g}"
        return Scouted("wrong", reason, error if math.isfinite(error) else None)
    return module, error


def _run(module: nn.Module, ids: Tensor, generate: int, error: float) -> Scouted:
    try:
        with torch.no_grad():
            time_request(module, ids, min(generate, 1))
            seconds = sum(time_request(module, ids, generate))
    except Exception as raised:  # As above.
        return Scouted("failed", describe_error(raised), error)
    return Scouted("timed", "", error, seconds)


if __name__ == "__main__":
    main()
