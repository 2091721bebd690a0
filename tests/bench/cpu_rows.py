"""Every way to compute a layer that is measured: what is bundled, unquantized, and of the peers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from qprobe.bench._candidates import Candidate, Stock, list_candidates
from qprobe.documents.profile import Shape
from tests.bench.cpu_report import Kind
from tests.bench.peers._peer import Call, Peer, Way, all_peers

BUNDLED = "qprobe"
WIDTHS = (4, 8, 16, 32)
PLAIN = {("NONE", "reference", "float32"), ("BF16", "reference", "bfloat16")}
"""`F.linear` itself."""


@dataclass(frozen=True)
class Row:
    """One way to compute a layer, from any source."""

    kind: Kind
    source: str
    label: str
    bits: int
    dtype: torch.dtype
    make: Callable[[nn.Linear], Call]
    objections: tuple[tuple[int, str], ...] = ()
    """M → why it cannot run there, or need not."""
    settle_s: float = 0.0
    is_anchor: bool = False
    """Timed in every cell, however slow."""

    @property
    def key(self) -> str:
        """What identifies it among all rows."""
        return f"{self.source}: {self.label}, {str(self.dtype)[6:]}"

    def objection(self, m: int) -> str:
        """Why it is not measured at M; "" if it is."""
        return dict(self.objections).get(m, "")


def sources() -> tuple[str, ...]:
    """What has rows: qprobe, and every peer."""
    return (BUNDLED, *all_peers())


def rows_of(source: str, n: int, k: int, ms: Sequence[int]) -> list[Row]:
    """The rows of a source for a layer (N, K) at each M, those that cannot run with the reason."""
    if source != BUNDLED:
        peer = all_peers()[source]
        return [_peer(peer, way, dtype, ms) for way in peer.ways for dtype in way.dtypes]
    stock = Stock()
    by_m = {m: list(list_candidates(Shape(m=m, n=n, k=k), "cpu")) for m in ms}
    return [
        _bundled(candidates[0], stock, {c.cell.shape.m: c.objection for c in candidates})
        for candidates in zip(*by_m.values(), strict=True)
    ]


def all_rows(n: int, k: int, ms: Sequence[int], only: Sequence[str] = ()) -> list[Row]:
    """The rows of every source, or of those named."""
    return [row for source in only or sources() for row in rows_of(source, n, k, ms)]


def _bundled(candidate: Candidate, stock: Stock, objections: Mapping[int, str]) -> Row:
    cell, scheme = candidate.cell, candidate.scheme
    n, k = cell.shape.n, cell.shape.k
    stored = scheme.weight_bytes(n, k, "float32") * 8 / (n * k)
    return Row(
        kind="bundled" if scheme.is_quantized else "unquantized",
        source=BUNDLED,
        label=f"{cell.scheme} by {cell.kernel}",
        # Scales add less than a quarter of a step from one width to the next.
        bits=max(width for width in WIDTHS if width <= stored),
        dtype=candidate.dtype,
        make=partial(_make_bundled, candidate, stock),
        objections=tuple(objections.items()),
        is_anchor=(cell.scheme, cell.kernel, cell.activation_dtype) in PLAIN,
    )


def _make_bundled(candidate: Candidate, stock: Stock, linear: nn.Linear) -> Call:
    return candidate.make(linear, stock)


def _peer(peer: Peer, way: Way, dtype: str, ms: Sequence[int]) -> Row:
    kind: Kind = peer.side
    torch_dtype: torch.dtype = getattr(torch, dtype)
    words = peer.absent()
    return Row(
        kind=kind,
        source=peer.name,
        label=way.label,
        bits=way.bits,
        dtype=torch_dtype,
        make=partial(_make_peer, way, torch_dtype),
        objections=tuple((m, words) for m in ms),
        settle_s=peer.settle_s,
    )


def _make_peer(way: Way, dtype: torch.dtype, linear: nn.Linear) -> Call:
    return way.make(linear, dtype)
