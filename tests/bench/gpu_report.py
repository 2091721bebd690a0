"""What `make gpu` measures: samples of every row, and what the card was like. Nothing derived."""

from __future__ import annotations

import statistics
from typing import Literal

from pydantic import Field

from qprobe.documents.base import Document, Flag, Positive, TopDocument
from qprobe.documents.machine import Fingerprint
from qprobe.documents.profile import Conditions, Peak
from qprobe.timing.samples import Samples

Kind = Literal["baseline", "bundled", "torch", "peer"]
"""`baseline`: torch's own linear in 16 bits. `bundled`: our kernels. `torch`: its other operators."""


class GpuRow(Document):
    """One way to compute the layer, or its product, in one cell."""

    kind: Kind
    label: str
    scheme: str
    dtype: str
    status: Literal["timed", "failed"]
    reason: str = ""
    weight_bytes: int = 0
    """As stored, each byte counted once."""
    error: float | None = None
    """‖y−ŷ‖/‖y‖ against the unquantized weight in float64, over some rows."""
    host_s: float | None = None
    """What the host needs to start one call, eager."""
    seconds: tuple[float, ...] = ()
    """Of one call within a CUDA graph, in the order of the rounds: two rows of a cell are pairs."""

    @property
    def median_s(self) -> float:
        """The middle of the samples."""
        return statistics.median(self.seconds)

    @property
    def samples(self) -> Samples:
        """The samples, to pair them."""
        return Samples(self.seconds)


class GpuCell(Document):
    """All rows of one shape at one M: y (M, N) = x (M, K) · Wᵀ + b."""

    m: Positive
    n: Positive
    k: Positive
    copies: Positive
    """Of the weight in float32; narrower ones have more, beyond the L2 as well."""
    rows: tuple[GpuRow, ...]
    products: tuple[GpuRow, ...] = ()
    """The int8 products alone, timed in the same rounds: of x quantized before, which a layer does itself."""

    @property
    def is_measured(self) -> bool:
        """Whether any way to multiply was timed."""
        return any(row.seconds for row in self.rows)


class LaunchCost(Document):
    """What the host needs to start a kernel, and a layer around it."""

    bare_s: float
    layer_s: float


class GpuReport(TopDocument):
    """One run of `python -m tests.bench.gpu`."""

    document: Literal["gpu_report"] = "gpu_report"
    commit: str
    dirty: Flag
    device: Fingerprint
    versions: dict[str, str | None]
    """Distribution → version, None where it is not installed."""
    copy_bandwidth_bytes_per_s: float
    peaks: dict[str, Peak]
    absent: dict[str, str] = Field(default_factory=dict)
    """Probe → why there is no such rate on this card."""
    cache_bytes: int
    launch: LaunchCost | None
    conditions: Conditions | None
    wall_s: float
    cells: tuple[GpuCell, ...]
    left_out: tuple[str, ...]
    """What there was no time for."""
