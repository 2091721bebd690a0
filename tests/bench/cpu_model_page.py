"""The part of the comparison that is of whole models, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from qprobe.timing.samples import Samples, ratio_of
from tests.bench.cpu_compare import (
    WITHIN,
    decode_rate,
    fastest,
    group_ratio,
    miss,
    plan_of,
    timed_variants,
)
from tests.bench.cpu_report import CpuReport, RequestResult, VariantResult
from tests.bench.handover import is_steady


def model_lines(report: CpuReport) -> Iterator[str]:
    """A table of all requests, then one for each."""
    if not report.requests:
        return
    yield "## Models"
    yield ""
    yield (
        "| model | batch × prompt + generated | plan, ms | predicted, ms | off by | "
        "over the best peer (95 %) | over bf16, prefill (95 %) | slowest group over plain |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for request in report.requests:
        yield _line(request)
    yield ""
    for request in report.requests:
        yield from _request(request)


def _line(request: RequestResult) -> str:
    plan = plan_of(request)
    off = miss(request)
    columns = [
        request.model,
        write_size(request),
        _ms(plan.request_s.median),
        _ms(request.predicted_s),
        f"{off:+.0%}{_remark(request)}",
        _over(plan.request_s, fastest(request, "torch")),
        _prefill_over_bf16(request),
        _slowest_group(request),
    ]
    return "| " + " | ".join(columns) + " |"


def _remark(request: RequestResult) -> str:
    missed = "" if abs(miss(request)) <= WITHIN - 1 else ", missed"
    is_same = is_steady(request.handover_planned, request.handover_timed)
    return missed + ("" if is_same else ", processors moved")


def _over(plan: Samples, peer: VariantResult | None) -> str:
    if peer is None:
        return "–"
    ratio = ratio_of(plan, peer.request_s)
    return f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f}) × {peer.name}"


def _prefill_over_bf16(request: RequestResult) -> str:
    cast = fastest(request, "unquantized", "bfloat16")
    if cast is None:
        return "–"
    ratio = ratio_of(Samples(plan_of(request).prefill_s), Samples(cast.prefill_s))
    return f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"


def _slowest_group(request: RequestResult) -> str:
    if not request.groups:
        return "all plain"
    ratio, group = max(
        ((group_ratio(group), group) for group in request.groups), key=lambda pair: pair[0].median
    )
    verdict = "" if ratio.low <= 1 else ", slower"
    return f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f}), {group.scheme}{verdict}"


def _request(request: RequestResult) -> Iterator[str]:
    yield f"### {request.model}, {write_size(request)}"
    yield ""
    yield request.summary
    yield ""
    yield "| run | x | ms | p20–p80 | prefill, ms | tokens/s | over the plan (95 %) | error |"
    yield "|---|---|---|---|---|---|---|---|"
    plan = plan_of(request).request_s
    for variant in timed_variants(request):
        seconds, ratio = variant.request_s, ratio_of(variant.request_s, plan)
        rate = decode_rate(request, variant)
        yield (
            f"| {variant.name} | {variant.dtype} | {_ms(seconds.median)} | "
            f"{_ms(seconds.quantile(0.2))}–{_ms(seconds.quantile(0.8))} | "
            f"{_ms(Samples(variant.prefill_s).median)} | {'–' if rate is None else f'{rate:.1f}'} | "
            f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f}) | "
            f"{'–' if variant.error is None else f'{variant.error:.1e}'} |"
        )
    yield ""
    for variant in request.variants:
        if not variant.prefill_s:
            yield f"- {variant.status}: {variant.name}, {variant.dtype}: {variant.reason}"
    yield ""
    if request.groups:
        yield "| groups | scheme | kernels | (N, K) | planned over plain, the request (95 %) |"
        yield "|---|---|---|---|---|"
        for group in request.groups:
            ratio = group_ratio(group)
            shapes = ", ".join(f"({n}, {k})" for n, k in group.shapes)
            yield (
                f"| {group.groups}, such as `{group.example}` | {group.scheme} | "
                f"{', '.join(group.kernels)} | {shapes} | "
                f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f}) |"
            )
        yield ""


def write_size(request: RequestResult) -> str:
    """Batch × prompt, and what is generated."""
    generated = f" + {request.generate}" if request.generate else ""
    return f"{request.batch} × {request.prompt}{generated}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}" if seconds < 1 else f"{seconds * 1e3:.0f}"
