"""The roofline of a device: what its memory and its arithmetic allow, and what kernels reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from qprobe.documents.profile import Peak, Profile
from qprobe.render.charts.attained import Attained
from qprobe.render.charts.axes import Frame, axis_across, axis_up
from qprobe.render.charts.drawing import (
    Chart,
    Drawing,
    Item,
    Path,
    Point,
    Symbol,
    Words,
    text_width,
)
from qprobe.render.charts.families import family_of
from qprobe.render.charts.labels import Area, Label, around, place_labels, spread
from qprobe.render.charts.scale import Scale, is_drawable, log_scale, tick_text
from qprobe.render.units import format_operations, format_rate, format_seconds

_NARROW, _WIDE = (344.0, 340.0), (720.0, 440.0)
_LABEL_GAP = 15.0
SHORT = {"float64": "fp64", "float32": "fp32", "bfloat16": "bf16", "float16": "fp16",
         "float8_e4m3fn": "fp8"}  # fmt: skip


def roofline_chart(profile: Profile, points: Sequence[Attained]) -> Chart | None:
    """The chart; None where neither a roof nor a kernel is known."""
    rates = [peak.ops_per_s for peak in profile.peaks.values()]
    bandwidth = profile.copy_bandwidth_bytes_per_s
    if not points and not (rates and bandwidth):
        return None
    if not is_drawable(bandwidth or 0.0, *rates, *(rate / (bandwidth or 1.0) for rate in rates)):
        return None
    return Chart(narrow=_draw(profile, points, _NARROW), wide=_draw(profile, points, _WIDE))


def peak_words(name: str, peak: Peak) -> str:
    """int8 1.93 TOPS; emulated ones are said to be."""
    emulated = "" if peak.support == "native" else " (emulated)"
    return f"{SHORT.get(name, name)} {format_operations(peak.ops_per_s)}{emulated}"


def shape_words(point: Attained) -> str:
    """M×N×K."""
    shape = point.measurement.cell.shape
    return f"{shape.m}×{shape.n}×{shape.k}"


def _brief_shape(point: Attained, usual_m: int) -> str:
    """N×K, and M where it is not the usual one."""
    shape = point.measurement.cell.shape
    m = "" if shape.m == usual_m else f" M={shape.m}"
    return f"{shape.n}×{shape.k}{m}"


def _draw(profile: Profile, points: Sequence[Attained], size: tuple[float, float]) -> Drawing:
    width, height = size
    bandwidth, peaks = profile.copy_bandwidth_bytes_per_s, profile.peaks
    margin = max((text_width(peak_name(name)) for name in peaks), default=0.0) + 14
    frame = Frame(left=68, top=28, right=width - margin, bottom=height - 44)
    x, y = _scales(points, bandwidth, peaks, frame)
    items = axis_across(frame, x, "operations per byte moved", lambda value: f"{value:g}")
    items += axis_up(frame, y, "operations per second", lambda v: tick_text(v, format_operations))
    roofs, corners = _roofs(bandwidth, peaks, x, y, frame)
    items += roofs
    taken = [area for line in corners for area in _along(line)]
    chosen = [point for point in points if point.is_chosen]
    others = [point for point in points if not point.is_chosen]
    items += [_symbol(point, x, y) for point in (*others, *chosen)]
    taken += [around((x.place(p.intensity), y.place(p.ops_per_s)), 5) for p in points]
    usual = Counter(p.measurement.cell.shape.m for p in chosen).most_common(1)
    labels = [
        Label(
            (x.place(p.intensity), y.place(p.ops_per_s)),
            _brief_shape(p, usual[0][0]),
            "label strong",
        )
        for p in chosen
    ]
    if bandwidth and corners:
        (left, low), (right, high) = corners[0][:2]
        words = f"copy {format_rate(bandwidth)}"
        labels.insert(0, Label(((left * 2 + right) / 3, (low * 2 + high) / 3), words, "label roof"))
    items += place_labels(labels, taken, frame.area)[0]
    return Drawing(
        width,
        height,
        f"Roofline of {profile.fingerprint.name}",
        _words(profile, points),
        tuple(items),
    )


def peak_name(name: str) -> str:
    """fp32 for float32."""
    return SHORT.get(name, name)


def _words(profile: Profile, points: Sequence[Attained]) -> str:
    parts = [f"{len(points)} measured kernels" if points else "no kernel was measured"]
    if profile.copy_bandwidth_bytes_per_s:
        parts.append(f"copy bandwidth {format_rate(profile.copy_bandwidth_bytes_per_s)}")
    parts += [f"peak {peak_words(name, peak)}" for name, peak in sorted(profile.peaks.items())]
    return f"{'; '.join(parts)}. The table below holds the figures."


def _scales(
    points: Sequence[Attained], bandwidth: float | None, peaks: Mapping[str, Peak], frame: Frame
) -> tuple[Scale, Scale]:
    tops = [peak.ops_per_s for peak in peaks.values()]
    across = [point.intensity for point in points]
    if bandwidth:
        across += [top / bandwidth for top in tops]
    x = log_scale(across, frame.left, frame.right, margin=2.2)
    up = [point.ops_per_s for point in points] + tops
    if bandwidth and not points:
        up.append(x.low * bandwidth * 2)
    return x, log_scale(up, frame.bottom, frame.top, margin=1.7)


def _roofs(
    bandwidth: float | None, peaks: Mapping[str, Peak], x: Scale, y: Scale, frame: Frame
) -> tuple[list[Item], list[tuple[Point, Point]]]:
    """The slope of the memory and the ceilings with their names, and where the lines run."""
    lines: list[tuple[Point, Point]] = []
    items: list[Item] = []
    top = max((peak.ops_per_s for peak in peaks.values()), default=y.high)
    if bandwidth:
        left, right = max(x.low, y.low / bandwidth), min(x.high, top / bandwidth)
        if left < right:
            lines.append(_line(x, y, (left, left * bandwidth), (right, right * bandwidth)))
    names = sorted(peaks, key=lambda name: (-peaks[name].ops_per_s, name))
    for name in names:
        rate = peaks[name].ops_per_s
        start = min(max(x.low, rate / bandwidth), x.high) if bandwidth else x.low
        lines.append(_line(x, y, (start, rate), (x.high, rate)))
        look = "roof" if peaks[name].support == "native" else "roof dashed"
        items.append(Path(lines[-1], look))
    if bandwidth and lines and len(lines) > len(names):
        items.append(Path(lines[0], "roof"))
    heights = [y.place(peaks[name].ops_per_s) for name in names]
    for name, height, at in zip(
        names, spread(heights, _LABEL_GAP, frame.top, frame.bottom), heights, strict=True
    ):
        items.append(Path(((frame.right, at), (frame.right + 7, height)), "leader"))
        items.append(Words(frame.right + 10, height + 4, peak_name(name), "label roof"))
    return items, lines


def _line(x: Scale, y: Scale, start: Point, end: Point) -> tuple[Point, Point]:
    (x1, y1), (x2, y2) = start, end
    return (x.place(x1), y.place(y1)), (x.place(x2), y.place(y2))


def _along(line: tuple[Point, Point], steps: int = 60) -> list[Area]:
    """Small squares on a line, for labels to keep off."""
    (x1, y1), (x2, y2) = line
    shares = [i / steps for i in range(steps + 1)]
    return [around((x1 + (x2 - x1) * s, y1 + (y2 - y1) * s), 2) for s in shares]


def _symbol(point: Attained, x: Scale, y: Scale) -> Symbol:
    cell = point.measurement.cell
    family = family_of(cell.scheme)
    tip = (
        f"{cell.scheme} by {cell.kernel} on {shape_words(point)}: "
        f"{format_seconds(point.measurement.median_s)}, {format_operations(point.ops_per_s)}"
    )
    look = f"{family.look} {'solid' if point.is_chosen else 'hollow'}"
    size = 6.0 if point.is_chosen else 4.0
    return Symbol(x.place(point.intensity), y.place(point.ops_per_s), family.shape, look, size, tip)
