"""The report on MiniLM as Markdown, from its JSON: `python -m tests.bench.minilm_page FILE`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MIB = 2**20


def write_page(report: Mapping[str, Any]) -> str:
    """The whole page."""
    device = report["device"]
    changed = " with uncommitted changes" if report["dirty"] else ""
    lines = [
        f"# MiniLM on {device['slug']}",
        "",
        f"{device['name']}, {device['units']} cores, {', '.join(device['features'])}; torch "
        f"{device['software']['torch']}; commit {report['commit']}{changed}, {report['created_utc']}. "
        "Medians; ratios are paired and interleaved, with their 95 % interval.",
        "",
    ]
    for request in report["requests"]:
        lines += _request(request)
    commands = report["commands"]
    lines += [
        "## Costs",
        "",
        f"- `qprobe --help`: {commands['help_s']['median']:.2f} s, `qprobe doctor`: "
        f"{commands['doctor_s']['median']:.1f} s (whole process)",
        *(
            f"- layer over bare kernel at M = 1, {row['scheme']} by `{row['kernel']}`: "
            f"{row['overhead_s'] * 1e6:.1f} µs ({row['layer_s'] * 1e6:.1f} against "
            f"{row['bare_s'] * 1e6:.1f})"
            for row in report["layer_overhead"]
        ),
        "",
    ]
    return "\n".join(lines)


def _request(request: Mapping[str, Any]) -> Iterator[str]:
    receipt = request["receipt"]
    first = receipt["variants"][0]
    off = first["median_s"] / first["predicted_s"] - 1
    memory = request["memory_measured_bytes"] / request["memory_predicted_bytes"]
    yield f"## {request['batch']} × {request['prompt']} tokens"
    yield ""
    yield request["summary"]
    yield ""
    yield (
        f"Verified: error {receipt['error']:.4f} (limit {receipt['error_limit']}, bf16 alone "
        f"{receipt['noise_floor']:.4f}); predicted {first['predicted_s'] * 1e3:.1f} ms at the speed "
        f"of the machine then, measured {first['median_s'] * 1e3:.1f} ms ({off:+.0%}); memory "
        f"{request['memory_measured_bytes'] / MIB:.0f} MiB, predicted "
        f"{request['memory_predicted_bytes'] / MIB:.0f} MiB ({memory:.2f} of it)."
    )
    yield ""
    yield "| run (eager) | ms | p20–p80 | over the plan (95 %) | MiB | error | predicted ms |"
    yield "|---|---|---|---|---|---|---|"
    for row in receipt["variants"]:
        yield (
            f"| {row['name']} | {_times(row)} | {row['weight_bytes'] / MIB:.1f} | "
            f"{row['error']:.4f} | {row['predicted_s'] * 1e3:.1f} |"
        )
    yield ""
    yield "Beside torch.compile, another run:"
    yield ""
    yield "| run | ms | p20–p80 | over the eager plan (95 %) |"
    yield "|---|---|---|---|"
    for row in request["compiled"]:
        yield f"| {row['name']} | {_times(row)} |"
    yield ""


def _times(row: Mapping[str, Any]) -> str:
    return (
        f"{row['median_s'] * 1e3:.1f} | {row['p20_s'] * 1e3:.1f}–{row['p80_s'] * 1e3:.1f} | "
        f"{row['ratio']:.2f} ({row['ratio_low']:.2f}–{row['ratio_high']:.2f})"
    )


if __name__ == "__main__":
    sys.stdout.write(write_page(json.loads(Path(sys.argv[1]).read_text())))
