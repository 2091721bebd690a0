"""Applies a plan to a model and measures what it promised: error, time and bytes."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from qprobe.apply._apply import apply_plan, held_bytes, receipt_of
from qprobe.apply._difference import Difference, compare_outputs
from qprobe.apply._fault import on_device
from qprobe.apply._variants import make_variant
from qprobe.checkpoint.casting import cast_module
from qprobe.checkpoint.forward import Metric, evaluating, output_metric, run_forward
from qprobe.checkpoint.loading import load_module
from qprobe.checkpoint.reader import read_model
from qprobe.checkpoint.request import check_generates, time_request
from qprobe.checkpoint.text import read_text, token_batch, token_hash, tokenize
from qprobe.documents.machine import Fingerprint
from qprobe.documents.objective import Objective
from qprobe.documents.plan import Plan, Section
from qprobe.documents.receipt import Receipt, Variant
from qprobe.errors import UnavailableError
from qprobe.kernels.device import cuda_count, default_device, fingerprint
from qprobe.timing import yardstick
from qprobe.timing.allocator import keep_freed_memory
from qprobe.timing.event_clock import EventClock
from qprobe.timing.interleave import Task, time_interleaved
from qprobe.timing.progress import Progress, silent
from qprobe.timing.samples import Samples, ratio_of

SEQUENCES = 8
TOKENS = 64
APPLIED = "plan"
BUDGET_S = 15.0
MIN_SAMPLES = 9


def verify_plan(
    path_or_module: str | Path | nn.Module,
    plan: Plan,
    text: str | None = None,
    *,
    progress: Progress = silent,
) -> Receipt:
    """Apply the plan to a copy of the model and measure it beside every alternative.

    Error is taken on a text that the plan was not calibrated on (None: one that ships with
    qprobe). Times are of the plan's own request, all variants in turn in one run, eager, in a
    process that keeps the memory it frees (`keep_freed_memory`).

    Returns:
        A receipt whose `passed` says whether the error stayed within the plan's limit.

    Raises:
        InputError: a checkpoint or text that cannot be used, or a plan for another model.
        UnavailableError: a checkpoint is given and transformers is not installed, or the model
            takes more than token ids.
    """
    if isinstance(path_or_module, nn.Module):
        module, folder = path_or_module, None
    else:
        progress("loading the model", 0.0)
        module, folder = load_module(path_or_module), Path(path_or_module)
        module.to(_device_for(plan.targets[plan.primary].fingerprint))
    _refuse_what_reads_no_text(module)
    check_generates(module, plan.objective.generate)
    text = read_text(None, held_out=True) if text is None else text
    with evaluating(module):
        return _verify(module, plan, folder, text, progress)


def _device_for(planned: Fingerprint) -> str:
    """The card that was planned for, or else the first; "cpu" for what was planned there."""
    if planned.kind != "cuda":
        return "cpu"
    cards = (f"cuda:{index}" for index in range(cuda_count()))
    return next((c for c in cards if not planned.differences(fingerprint(c))), default_device())


def _verify(
    module: nn.Module, plan: Plan, folder: Path | None, text: str, progress: Progress
) -> Receipt:
    progress("applying the plan", 0.05)
    device = next((str(p.device) for p in module.parameters()), default_device())
    section = plan.section(fingerprint(device))
    applied = apply_plan(plan, copy.deepcopy(module))
    ids = _tokens(module, folder, text).to(device)
    errors = _Errors(run_forward(module, ids), ids, output_metric(module))
    variants = {APPLIED: applied}
    predicted = {APPLIED: section.predicted.seconds.value}
    for index, alternative in enumerate(section.alternatives):
        if alternative.choices and alternative.predicted is not None:
            share = 0.1 + 0.2 * index / len(section.alternatives)
            progress(f"making the alternative {alternative.name}", share)
            variants[alternative.name] = make_variant(plan, alternative, module, device)
            predicted[alternative.name] = alternative.predicted.seconds.value
    progress("measuring errors", 0.3)
    found = {name: errors.of(variant) for name, variant in variants.items()}
    floor = errors.of(cast_module(copy.deepcopy(module), torch.bfloat16))
    progress(f"timing {len(variants)} variants in turn", 0.4)
    with on_device(device):
        timed = _time(variants, plan.objective, _vocabulary(module, ids), device)
    slowdown = timed[yardstick.NAME].median / section.yardstick_s
    progress("verified", 1.0)
    passed, why = _judge(plan, section, found[APPLIED].relative_error)
    return receipt_of(applied).model_copy(
        update={
            "action": "verified",
            "metric": errors.metric,
            "error": found[APPLIED].relative_error,
            "kl_divergence_nats": found[APPLIED].kl_divergence_nats,
            "error_limit": plan.objective.error_limit.value,
            "noise_floor": floor.relative_error,
            "data_hash": token_hash(ids),
            "batch": plan.objective.batch,
            "prompt": plan.objective.prompt,
            "generate": plan.objective.generate,
            "variants": tuple(
                _variant(
                    name,
                    timed,
                    held_bytes(variants[name]),
                    found[name],
                    predicted[name] * slowdown,
                )
                for name in variants
            ),
            "predicted_seconds": section.predicted.seconds,
            "slowdown": slowdown,
            "passed": passed,
            "why": why,
        }
    )


@dataclass(frozen=True)
class _Errors:
    """What outputs are compared with."""

    exact: Tensor
    ids: Tensor
    metric: Metric

    def of(self, module: nn.Module) -> Difference:
        """How far the model's output is from the exact one."""
        return compare_outputs(self.exact, run_forward(module, self.ids), self.metric)


def _refuse_what_reads_no_text(module: nn.Module) -> None:
    if not read_model(module).reads_only_text:
        raise UnavailableError(
            f"{type(module).__name__} takes more than token ids: it cannot be run on a text",
            "apply the plan in Python, and compare the outputs on inputs of yours",
        )


def _tokens(module: nn.Module, folder: Path | None, text: str) -> Tensor:
    config = getattr(module, "config", None)
    length = min(TOKENS, getattr(config, "max_position_embeddings", TOKENS) or TOKENS)
    vocabulary = getattr(config, "vocab_size", 0) or 256
    return token_batch(tokenize(text, folder, vocabulary), SEQUENCES, length)


def _vocabulary(module: nn.Module, ids: Tensor) -> int:
    config = getattr(module, "config", None)
    return getattr(config, "vocab_size", 0) or int(ids.max()) + 1


def _time(
    variants: Mapping[str, nn.Module], objective: Objective, vocabulary: int, device: str
) -> dict[str, Samples]:
    keep_freed_memory()
    clock: Callable[[], float] = time.perf_counter if device == "cpu" else EventClock()
    generator = torch.Generator().manual_seed(1)
    size = (objective.batch, objective.prompt)
    ids = torch.randint(0, vocabulary, size, generator=generator, device="cpu").to(device)

    def task(variant: nn.Module) -> Task:
        return Task(lambda _: time_request(variant, ids, objective.generate), clock=clock)

    tasks = {name: task(variant) for name, variant in variants.items()}
    tasks[yardstick.NAME] = yardstick.make_yardstick(torch.device(device), clock)
    return time_interleaved(tasks, budget_s=BUDGET_S, min_samples=MIN_SAMPLES)


def _variant(
    name: str, timed: Mapping[str, Samples], size: int, found: Difference, predicted: float
) -> Variant:
    samples, ratio = timed[name], ratio_of(timed[name], timed[APPLIED])
    return Variant(
        name=name,
        median_s=samples.median,
        p20_s=samples.quantile(0.2),
        p80_s=samples.quantile(0.8),
        samples=len(samples.seconds),
        ratio=ratio.median,
        ratio_low=ratio.low,
        ratio_high=ratio.high,
        weight_bytes=size,
        error=found.relative_error,
        kl_divergence_nats=found.kl_divergence_nats,
        predicted_s=predicted,
    )


def _judge(plan: Plan, section: Section, error: float) -> tuple[bool, str]:
    """Whether the error is what was promised, and a sentence that says so."""
    limit = plan.objective.error_limit
    expected = section.predicted.error
    if not limit.hard and expected is not None and expected.value > limit.value:
        return True, (
            f"the error is {error:.4f}; the plan put its memory limit above the error limit of "
            f"{limit.value:g} and predicted {expected.value:.4f}"
        )
    if error <= limit.value:
        return True, f"the error {error:.4f} is within the limit of {limit.value:g}"
    return False, f"the error {error:.4f} exceeds the limit of {limit.value:g}"
