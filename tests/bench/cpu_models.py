"""Whole models under requests: the plan applied, the model unquantized, and the peers, in turn."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from qprobe.apply import apply_plan
from qprobe.apply._variants import make_variant
from qprobe.checkpoint import read_model
from qprobe.checkpoint.casting import cast_module
from qprobe.checkpoint.forward import run_forward
from qprobe.checkpoint.loading import load_module
from qprobe.documents.model import Model
from qprobe.documents.objective import Objective
from qprobe.documents.plan import Plan
from qprobe.documents.scheme import SCHEMES
from qprobe.flow.plan import plan as make_plan
from tests.bench.cpu_convert import Conversion, conversions_of, converted_tensors
from tests.bench.cpu_groups import measure_groups
from tests.bench.cpu_model_scout import output_error, scout_model
from tests.bench.cpu_report import Kind, RequestResult, VariantResult
from tests.bench.cpu_requests import BenchModel, draw_ids, fresh_profiles, read_ids, time_in_turn
from tests.bench.handover import Handover, is_steady
from tests.bench.peers._peer import all_peers
from tests.bench.scouting import Pair, Scouted, describe_error

CLOSE = 2.0
"""What takes this many times as long as the best peer, tried alone, is not timed in turn."""
UNIFORM = 2
"""How many of the uniform plans are timed as well: those predicted to be the fastest."""
PATIENCE_S = 300
"""A request that took less to plan and time is planned and timed again if the processors were moved meanwhile."""
ATTEMPTS = 5
Tell = Callable[[str], None]


@dataclass(frozen=True)
class _Variant:
    """A model to time, and what it is."""

    kind: Kind
    source: str
    label: str
    bits: int | None
    dtype: str
    module: nn.Module

    @property
    def key(self) -> str:
        return f"{self.source}: {self.label}, {self.dtype}"


def measure_model(
    bench: BenchModel,
    budget_s: float,
    only: Sequence[str],
    tell: Tell,
    keep: Callable[[RequestResult], object],
) -> None:
    """Plan, apply and time every request of a model; `keep` gets each."""
    model, stored = read_model(bench.folder), load_module(bench.folder)
    objectives = bench.objectives()
    scouted: dict[Pair, Scouted] = {}
    conversions: dict[str, Conversion] = {}
    for name, peer in all_peers().items():
        if any(way.in_models for way in peer.ways) and (not only or name in only):
            start = time.perf_counter()
            scouted |= scout_model(peer, bench.folder, objectives)
            conversions |= {c.key: c for c in conversions_of(peer)}
            tell(f"tried {name} on {bench.name} in {time.perf_counter() - start:.0f} s")
    close = {n: find_close(conversions, scouted, n) for n in range(len(objectives))}
    converted: dict[str, _Variant] = {}
    for key in dict.fromkeys(key for keys in close.values() for key in keys):
        try:
            converted[key] = _converted(conversions[key], stored, model)
        except Exception as error:  # It worked in a process of its own: say that it does not here.
            lost = Scouted("failed", f"beside the others: {describe_error(error)}")
            scouted |= {(key, number): lost for number in range(len(objectives))}
    for number, objective in enumerate(objectives):
        peers = [converted[key] for key in close[number] if key in converted]
        measure = partial(_measure_request, bench, model, stored, objective, peers, budget_s)
        result = _measure_steadily(measure, tell)
        rest = tuple(
            _untimed(conversion, scouted[key, number])
            for key, conversion in conversions.items()
            if key not in close[number] or key not in converted
        )
        keep(result.model_copy(update={"variants": (*result.variants, *rest)}))
        tell(
            f"measured {bench.name} at {objective.batch} × {objective.prompt} + {objective.generate}"
        )


def find_close(
    keys: Sequence[str] | Mapping[str, object], scouted: Mapping[Pair, Scouted], number: int
) -> list[str]:
    """The peers near the fastest of them at a request."""
    alone = {}
    for key in keys:
        found = scouted[key, number]
        if found.status == "timed" and found.seconds is not None:
            alone[key] = found.seconds
    return [key for key, seconds in alone.items() if seconds <= CLOSE * min(alone.values())]


def _converted(conversion: Conversion, stored: nn.Module, model: Model) -> _Variant:
    way = conversion.way
    module = conversion.apply(stored, converted_tensors(model))
    return _Variant("torch", conversion.peer.name, way.label, way.bits, conversion.dtype, module)


def _measure_steadily(measure: Callable[[], RequestResult], tell: Tell) -> RequestResult:
    """Plan and time a request; again if the processors were moved meanwhile, for a prediction holds where it was made.

    The plan is made anew each time, whatever is cached. What comes back says how near the processors were.
    """
    for attempt in range(1, ATTEMPTS + 1):
        start = time.perf_counter()
        with fresh_profiles():
            result = measure()
        took = time.perf_counter() - start
        before, after = result.handover_planned, result.handover_timed
        tell(f"attempt {attempt}: handover {before} while planning, {after} while timing")
        if is_steady(before, after) or took > PATIENCE_S:
            break
    return result.model_copy(update={"attempts": attempt})


def _measure_request(
    bench: BenchModel,
    model: Model,
    stored: nn.Module,
    objective: Objective,
    peers: Sequence[_Variant],
    budget_s: float,
) -> RequestResult:
    planning, timing = Handover(), Handover()
    plan = make_plan(str(bench.folder), objective, device="cpu", progress=planning.ask)
    section = plan.targets[plan.primary]
    variants = [*_own_variants(plan, stored), *peers]
    ids = read_ids(bench.folder, model.vocab_size)
    with torch.no_grad():
        exact = run_forward(stored, ids)
        errors = {v.key: output_error(exact, run_forward(v.module, ids)) for v in variants}
    request_ids = draw_ids(model.vocab_size, objective.batch, objective.prompt)
    timed, yardstick_s = time_in_turn(
        {variant.key: variant.module for variant in variants},
        request_ids,
        objective.generate,
        budget_s,
        timing.ask,
    )
    return RequestResult(
        model=bench.name,
        batch=objective.batch,
        prompt=objective.prompt,
        generate=objective.generate,
        summary=section.summary,
        compute_dtype=section.compute_dtype,
        predicted_s=section.predicted.seconds.value * yardstick_s / section.yardstick_s,
        predicted_uncertainty=section.predicted.seconds.uncertainty,
        handover_planned=planning.told,
        handover_timed=timing.told,
        variants=tuple(
            VariantResult(
                kind=variant.kind,
                source=variant.source,
                label=variant.label,
                bits=variant.bits,
                dtype=variant.dtype,
                status="timed",
                error=errors[variant.key],
                prefill_s=tuple(float(f"{prefill:.5g}") for prefill, _ in timed[variant.key]),
                decode_s=tuple(float(f"{decode:.5g}") for _, decode in timed[variant.key])
                if objective.generate
                else (),
            )
            for variant in variants
        ),
        groups=tuple(measure_groups(plan, model, budget_s / 10)),
    )


def _own_variants(plan: Plan, stored: nn.Module) -> list[_Variant]:
    """The plan applied, the model as stored and cast, and the fastest uniform plans."""
    section = plan.targets[plan.primary]
    applied = apply_plan(plan, copy.deepcopy(stored))
    cast = cast_module(copy.deepcopy(stored), torch.bfloat16)
    dtype = section.compute_dtype
    found = [
        _Variant("bundled", "qprobe", "the plan", None, dtype, applied.eval()),
        _Variant("unquantized", "qprobe", "as stored", 32, "float32", stored),
        _Variant("unquantized", "qprobe", "cast to bf16", 16, "bfloat16", cast),
    ]
    uniform = [
        alternative
        for alternative in section.alternatives
        if alternative.predicted is not None
        and alternative.choices
        and alternative.name in SCHEMES
        and SCHEMES[alternative.name].is_quantized
    ]
    uniform.sort(key=lambda a: a.predicted.seconds.value if a.predicted else 0.0)
    for alternative in uniform[:UNIFORM]:
        module = make_variant(plan, alternative, stored, section.fingerprint.kind).eval()
        name, dtype = f"uniform {alternative.name}", alternative.compute_dtype or "float32"
        bits = getattr(SCHEMES[alternative.name].weights, "num_bits", None)
        found.append(_Variant("bundled", "qprobe", name, bits, dtype, module))
    return found


def _untimed(conversion: Conversion, scouted: Scouted) -> VariantResult:
    is_far = scouted.status == "timed"
    return VariantResult(
        kind="torch",
        source=conversion.peer.name,
        label=conversion.way.label,
        bits=conversion.way.bits,
        dtype=conversion.dtype,
        status="slow" if is_far else scouted.status,
        reason=f"{scouted.seconds:.3g} s alone, far from the best peer"
        if is_far
        else scouted.reason,
        error=scouted.error,
    )
