"""The measurements of one device as tables, one for each shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType

from qprobe.documents.profile import Measurement, Profile, Shape
from qprobe.render.page import DEFAULT_WIDTH, bullets, indent, pairs, render, table, words
from qprobe.render.units import (
    format_bytes,
    format_error,
    format_interval,
    format_operations,
    format_rate,
    format_ratio,
    format_seconds,
)

SHORT_DTYPES = {"float64": "fp64", "float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def profile_text(profile: Profile, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
    """The device, then a table a shape; times are medians with their 20th to 80th percentile."""
    blocks: list[RenderableType] = [pairs(_facts(profile))]
    for shape, found in _by_shape(profile):
        blocks += [
            words(f"\nM = {shape.m}, N = {shape.n}, K = {shape.k}", "bold"),
            _shape_table(found),
        ]
    if profile.skipped:
        lines = {
            f"{item.cell.scheme} by {item.cell.kernel}: {item.reason}" for item in profile.skipped
        }
        blocks += [words("Not measured", "bold"), indent(bullets(sorted(lines)), 2)]
    if absent := [fact for fact in profile.kernels if not fact.available]:
        lines = {f"{fact.kernel}: {fact.reason}" for fact in absent}
        blocks += [words("Kernels that do not run here", "bold"), indent(bullets(sorted(lines)), 2)]
    if not profile.measurements:
        blocks.append(words("nothing was measured", "bold"))
    if profile.interrupted:
        blocks.append(
            words("interrupted: what is here is whole, the rest was not measured", "bold")
        )
    return render(blocks, width, color)


def _facts(profile: Profile) -> Iterator[tuple[str, str]]:
    device = profile.fingerprint
    yield "device", f"{device.name} ({device.slug}), {profile.threads} threads"
    if profile.copy_bandwidth_bytes_per_s is not None:
        yield "copy bandwidth", format_rate(profile.copy_bandwidth_bytes_per_s)
    if profile.free_memory_bytes is not None:
        yield "free memory", format_bytes(profile.free_memory_bytes)
    for name, peak in sorted(profile.peaks.items()):
        yield f"peak {name}", f"{format_operations(peak.ops_per_s)}, {peak.support}"
    graph = profile.graph_launch_s
    captured = f", in a CUDA graph {format_seconds(graph)}" if graph is not None else ""
    yield "launch", format_seconds(profile.launch_s) + captured
    if profile.conditions is not None:
        yield "while measured", "; ".join(profile.conditions.remarks) or "undisturbed"
    for rest in profile.rest:
        decode = (
            f", decode {format_seconds(rest.decode_s_per_token)}/token" if rest.generate else ""
        )
        yield (
            f"rest {SHORT_DTYPES[rest.dtype]}",
            f"{rest.batch} × {rest.prompt} tokens: {format_seconds(rest.prefill_s)}{decode}",
        )


def _by_shape(profile: Profile) -> Iterator[tuple[Shape, list[Measurement]]]:
    for shape in sorted(profile.shapes(), key=lambda shape: (shape.n, shape.k, shape.m)):
        yield shape, [item for item in profile.measurements if item.cell.shape == shape]


def _shape_table(found: Sequence[Measurement]) -> RenderableType:
    base = min((item.median_s for item in found if item.cell.scheme == "NONE"), default=None)
    rows = []
    for item in sorted(found, key=lambda item: item.median_s):
        speed = format_ratio(base / item.median_s) if base and item.median_s else "–"
        rows.append(
            (
                item.cell.scheme,
                item.cell.kernel,
                SHORT_DTYPES[item.cell.activation_dtype],
                format_seconds(item.median_s),
                format_interval(item.p20_s, item.p80_s, format_seconds),
                speed,
                format_error(item.relative_error),
            )
        )
    headers = ("scheme", "kernel", "x", "median", "p20–p80", "speed", "error")
    return table(headers, rows, right=(3, 4, 5, 6))
