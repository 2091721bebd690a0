"""How long each way to compute a linear takes on one device, and what else a request costs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from qprobe.documents.base import Count, Document, Flag, FloatDtype, Positive, Seconds, TopDocument
from qprobe.documents.machine import Fingerprint, GpuState, Rate
from qprobe.documents.scheme import SCHEMES


class Shape(Document):
    """y (M, N) = x (M, K) · Wᵀ, W (N, K)."""

    m: Positive
    n: Positive
    k: Positive


class Cell(Document):
    """What was computed how, on which shape."""

    scheme: str
    kernel: str
    activation_dtype: FloatDtype
    shape: Shape


class Measurement(Document):
    """Seconds of one call of the very layer that a plan installs, verified before it was timed.

    All cells of one shape are timed interleaved in one run, with the yardstick among them. Seconds
    are at the speed that the machine has when the yardstick takes `Profile.yardstick_s`, so that
    those of different runs can be compared.
    """

    cell: Cell
    median_s: Seconds
    p20_s: Seconds
    p80_s: Seconds
    samples: Positive
    shared_input_s: Seconds | None
    """Median right after another layer that reads the same input, and has quantized it if that is to be
    done; None: the same."""
    host_s: Seconds | None = None
    """What the host needs to start the call on a GPU, whose own time `median_s` is; None on CPUs."""
    relative_error: Annotated[float, Field(ge=0, strict=True)]
    """‖y−ŷ‖/‖y‖ against the exact product of the unquantized weight, on random data."""


class Skipped(Document):
    """A cell that was not measured, and why."""

    cell: Cell
    reason: str


class KernelFact(Document):
    """What a kernel can do on this device."""

    kernel: str
    schemes: tuple[str, ...]
    packing: str
    """Kernels of one packing can take turns on one copy of the weights."""
    available: Flag
    reason: str
    """Why not, where it is not; "" otherwise."""
    max_code: Positive | None = None
    """The largest magnitude of a stored integer that it multiplies exactly; None: any."""
    multiplies_codes: Flag = False
    """Whether activations that the scheme quantizes are, before it multiplies them."""
    dequantizes: Flag = False
    """Whether it writes the weight out in the type of the activations, then multiplies by that."""
    unproven: Flag = False
    """Whether no device had measured it when it was released: it is planned where it was measured."""
    min_rows: Positive = 1
    """The least M from which on it is meant for more than those behind it that take the same packing."""
    max_rows: Positive | None = None
    """The largest M that it is meant for; None: any."""


def _complete(fact: KernelFact) -> KernelFact:
    """What profiles of earlier versions left out, as it was taken to be then."""
    if fact.model_fields_set & {"multiplies_codes", "dequantizes"}:
        return fact
    is_reference = fact.kernel == REFERENCE
    return fact.model_copy(
        update={"multiplies_codes": not is_reference, "dequantizes": is_reference}
    )


REFERENCE = "reference"
REFERENCE_FACT = KernelFact(
    kernel=REFERENCE,
    schemes=tuple(SCHEMES),
    packing=REFERENCE,
    available=True,
    reason="",
    dequantizes=True,
)


class Rest(Document):
    """Seconds of everything but the linears, in the model's own forward pass.

    At the speed that the machine has when the yardstick takes `Profile.yardstick_s`.
    """

    model_hash: str
    batch: Positive
    prompt: Positive
    generate: Count
    dtype: FloatDtype
    prefill_s: Seconds
    decode_s_per_token: Seconds
    """0 where nothing is generated."""
    relative_spread: Annotated[float, Field(ge=0, strict=True)]
    """(p80 − p20) / median of the passes that it was measured on."""


class Peak(Document):
    """Operations per second of a square matrix product, or of a probe that works on registers alone."""

    ops_per_s: Rate
    support: Literal["native", "emulated"]


class Conditions(Document):
    """A GPU under load before the measurements and after them, and what is to be said of it."""

    before: GpuState
    after: GpuState
    remarks: tuple[str, ...]
    """One sentence each: clocks that fell, reasons to throttle, other processes; empty where all is well."""


class Profile(TopDocument):
    """Measurements on one device."""

    document: Literal["profile"] = "profile"
    fingerprint: Fingerprint
    kernel_sources: str
    """Hash of the kernels' and layers' source: other sources, other measurements."""
    yardstick_s: Annotated[float, Field(gt=0, strict=True)]
    """Seconds of a fixed piece of work: the speed of the machine that all other seconds are at."""
    keeps_freed_memory: Flag
    """Whether the C library was told to, as it must be where these seconds shall come true."""
    threads: Positive
    weights: Positive | None = None
    """Elements that the linears of the model have for which it was measured, if they may stay in the caches
    from one pass to the next; None: weights are read from memory, however many there are."""
    copy_bandwidth_bytes_per_s: Rate | None
    free_memory_bytes: Count | None
    peaks: dict[str, Peak]
    launch_s: Seconds
    """Of the smallest linear: on a GPU, what the host needs to start it."""
    graph_launch_s: Seconds | None = None
    """Of the smallest linear within a CUDA graph; None on CPUs."""
    conditions: Conditions | None = None
    """What the GPU was like while it was measured; None on CPUs."""
    kernels: tuple[KernelFact, ...]
    measurements: tuple[Measurement, ...]
    skipped: tuple[Skipped, ...]
    rest: tuple[Rest, ...]
    interrupted: Flag = False
    """Whether the run was cut short; what is here is whole all the same."""

    def kernel_facts(self) -> dict[str, KernelFact]:
        """Kernel → what it can do, the best first; the reference in any case: it always works."""
        facts = {fact.kernel: _complete(fact) for fact in self.kernels}
        return facts if REFERENCE in facts else facts | {REFERENCE: REFERENCE_FACT}

    def shapes(self) -> frozenset[Shape]:
        """The shapes that were measured."""
        return frozenset(measurement.cell.shape for measurement in self.measurements)
