"""The receipt of an applied or verified plan: what was promised beside what was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.console import RenderableType

from qprobe.documents.receipt import Receipt, Variant
from qprobe.render.page import DEFAULT_WIDTH, bullets, indent, pairs, render, table, words
from qprobe.render.units import (
    format_bytes,
    format_digits,
    format_error,
    format_quantity,
    format_ratio,
    format_seconds,
)


def receipt_text(receipt: Receipt, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
    """What the plan became, every way to run the model beside it, and whether it passed."""
    blocks: list[RenderableType] = [pairs(_facts(receipt))]
    if receipt.changes:
        blocks += [words("Changed", "bold"), indent(bullets(receipt.changes), 2)]
    if receipt.variants:
        blocks += [words(""), _variants(receipt)]
        blocks.append(
            words(
                "predicted in ms, at the speed of the machine now; ratio: time over that of the "
                "plan, above 1 the plan is faster",
                "dim",
            )
        )
    blocks += [words(""), words(_outcome(receipt), "bold")]
    return render(blocks, width, color)


def _facts(receipt: Receipt) -> Iterator[tuple[str, str]]:
    device = receipt.fingerprint
    yield "model", f"{receipt.model}, {receipt.action} in {receipt.compute_dtype}"
    yield "device", f"{device.slug}: {device.name}"
    counts = Counter(layer.scheme for layer in receipt.layers)
    schemes = ", ".join(f"{count} {scheme}" for scheme, count in sorted(counts.items()))
    yield "layers", f"{len(receipt.layers)}: {schemes}" if receipt.layers else "0"
    before, after = receipt.weight_bytes_before, receipt.weight_bytes_after
    smaller = f" ({format_ratio(before / after)} smaller)" if 0 < after < before else ""
    yield "weights", f"{format_bytes(after)}, before {format_bytes(before)}{smaller}"
    if receipt.batch is not None and receipt.prompt is not None:
        generated = f", then {receipt.generate} generated" if receipt.generate else ""
        yield "request", f"{receipt.batch} × {receipt.prompt} tokens{generated}"
    if receipt.error is not None:
        yield "error", _error(receipt, receipt.error)
    if receipt.predicted_seconds is not None:
        yield "time", f"predicted {format_quantity(receipt.predicted_seconds, format_seconds)}"
    if receipt.slowdown is not None:
        yield "speed", f"the machine takes {receipt.slowdown:.2f} times as long as when planned"
    if receipt.variants and (expected := receipt.variants[0].predicted_s):
        measured = receipt.variants[0].median_s
        yield (
            "now",
            f"predicted {format_seconds(expected)} at this speed, measured "
            f"{format_seconds(measured)} ({100 * (measured / expected - 1):+.0f} %)",
        )


def _error(receipt: Receipt, error: float) -> str:
    metric = f" of the {receipt.metric.replace('_', ' ')}" if receipt.metric else ""
    parts = [f"{format_error(error)}{metric}"]
    if receipt.kl_divergence_nats is not None:
        parts.append(f"KL {format_error(receipt.kl_divergence_nats)} nats a token")
    if receipt.error_limit is not None:
        parts.append(f"limit {format_error(receipt.error_limit)}")
    if receipt.noise_floor is not None:
        parts.append(f"noise floor (bf16) {format_error(receipt.noise_floor)}")
    return ", ".join(parts)


def _variants(receipt: Receipt) -> RenderableType:
    headers = ("run", "ms (p20–p80)", "ratio (95 %)", "weights", "error", "predicted")
    rows = (_variant(item, is_plan=index == 0) for index, item in enumerate(receipt.variants))
    return table(headers, rows, right=(1, 2, 3, 4, 5))


def _variant(item: Variant, is_plan: bool) -> tuple[str, ...]:
    spread = f"{format_digits(item.p20_s * 1e3)}–{format_digits(item.p80_s * 1e3)}"
    interval = f"{item.ratio_low:.2f}–{item.ratio_high:.2f}"
    return (
        item.name,
        f"{format_digits(item.median_s * 1e3)} ({spread})",
        "1" if is_plan else f"{item.ratio:.2f} ({interval})",
        format_bytes(item.weight_bytes),
        "–" if item.error is None else format_error(item.error),
        "–" if item.predicted_s is None else format_digits(item.predicted_s * 1e3),
    )


def _outcome(receipt: Receipt) -> str:
    if receipt.passed is None:
        return receipt.why or receipt.action
    verdict = "passed" if receipt.passed else "missed"
    return f"{verdict}: {receipt.why}" if receipt.why else verdict
