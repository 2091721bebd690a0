"""What the comparison with the peers writes: every sample of every row, and nothing derived."""

from __future__ import annotations

import statistics
from typing import Literal

from qprobe.documents.base import Count, Document, Flag, Positive, TopDocument
from qprobe.documents.machine import Fingerprint
from qprobe.timing.samples import Samples

Kind = Literal["unquantized", "bundled", "torch", "next"]
"""`torch`: peers that run in a PyTorch model; `next`: other runtimes, the next mark."""
Status = Literal["timed", "slow", "wrong", "failed", "absent"]
"""`timed`: in turn with the others. `slow`: far from the best of its kind when tried alone."""


class RowResult(Document):
    """One way to compute the layer, in one cell."""

    kind: Kind
    source: str
    label: str
    bits: Positive
    dtype: str
    status: Status
    reason: str = ""
    error: float | None = None
    """‖y−ŷ‖/‖y‖ against the unquantized weight in float64; None where nothing came back."""
    alone_s: float | None = None
    """Seconds of one call when it was tried, in a process of its own, not in turn."""
    seconds: tuple[float, ...] = ()
    """Samples in the order of the rounds, so that two rows of a cell are pairs."""

    @property
    def name(self) -> str:
        """Source and label in one."""
        return f"{self.source}: {self.label}"

    @property
    def median_s(self) -> float:
        """The middle of the samples."""
        return statistics.median(self.seconds)

    @property
    def samples(self) -> Samples:
        """The samples, to pair them."""
        return Samples(self.seconds)


class CellResult(Document):
    """All rows of one shape at one M: y (M, N) = x (M, K) · Wᵀ + b."""

    k: Positive
    n: Positive
    m: Positive
    rows: tuple[RowResult, ...]


class VariantResult(Document):
    """One way to run a whole model, in turn with the others; the lists are pairs by round."""

    kind: Kind
    source: str
    label: str
    bits: Positive | None
    """None: layer by layer, as planned."""
    dtype: str
    status: Status
    reason: str = ""
    error: float | None = None
    """‖y−ŷ‖/‖y‖ at the model's output against the model as stored."""
    prefill_s: tuple[float, ...] = ()
    decode_s: tuple[float, ...] = ()
    """Of all generated tokens; empty where none is."""

    @property
    def name(self) -> str:
        """Source and label in one."""
        return f"{self.source}: {self.label}"

    @property
    def request_s(self) -> Samples:
        """Prefill and decoding."""
        decode = self.decode_s or (0.0,) * len(self.prefill_s)
        return Samples(tuple(a + b for a, b in zip(self.prefill_s, decode, strict=True)))


class GroupResult(Document):
    """One decision of a plan, timed beside the plain layers: seconds over the request."""

    example: str
    """One of the groups that it is the decision for."""
    groups: Positive
    scheme: str
    kernels: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]
    """(N, K) of each member."""
    planned_s: tuple[float, ...]
    unquantized_s: tuple[float, ...]
    """`F.linear` in the plan's activation type; pairs by round."""


class RequestResult(Document):
    """A model under one request: the plan, its prediction, and everything beside it."""

    model: str
    batch: Positive
    prompt: Positive
    generate: Count
    summary: str
    compute_dtype: str
    predicted_s: float
    """Of the plan, at the speed that the machine had while the variants were timed."""
    predicted_uncertainty: float
    handover_planned: tuple[float, ...] = ()
    """How near the processors were at each step of the plan: `tests.bench.handover`."""
    handover_timed: tuple[float, ...] = ()
    """The same after each round."""
    attempts: Positive = 1
    """How often it was planned and timed: again while the processors were moved."""
    variants: tuple[VariantResult, ...]
    groups: tuple[GroupResult, ...]


class CpuReport(TopDocument):
    """One run of `python -m tests.bench.cpu`."""

    document: Literal["cpu_report"] = "cpu_report"
    commit: str
    dirty: Flag
    device: Fingerprint
    threads: Positive
    versions: dict[str, str | None]
    """Distribution → version, None where it is not installed."""
    wall_s: float
    cells: tuple[CellResult, ...]
    requests: tuple[RequestResult, ...]
    notes: tuple[str, ...] = ()
