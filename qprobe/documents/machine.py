"""Facts about the machine: asked or measured, never guessed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field, model_validator

from qprobe.documents.base import Count, Document, Flag, Positive, TopDocument

Rate = Annotated[float, Field(gt=0, strict=True)]
Capability = Annotated[str, Field(pattern=r"^\d+\.\d+$")]


class Fingerprint(Document):
    """What must be equal for a measurement or a kernel choice to carry over.

    `slug` names the kind of device for people and in plans; the other fields are compared.
    """

    slug: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    kind: Literal["cpu", "cuda"]
    name: str
    features: tuple[str, ...]
    """CPU: sorted ISA features as torch's kernels may use them here; GPU: ("sm_90",)."""
    units: Positive
    """Usable cores, or SMs."""
    memory_bytes: Positive
    software: dict[str, str]
    """What decides which kernels exist and how fast they are: torch, threads, ISA limits."""

    def digest(self) -> str:
        """SHA-256, 16 hex digits."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def differences(self, other: Fingerprint) -> tuple[str, ...]:
        """One sentence for each field that differs, "field: mine, theirs"."""
        pairs = (
            (name, getattr(self, name), getattr(other, name)) for name in type(self).model_fields
        )
        return tuple(
            f"{name}: {mine} against {theirs}" for name, mine, theirs in pairs if mine != theirs
        )


def slugify(*words: str) -> str:
    """A lower-case name of letters, digits, dots and dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", " ".join(words).lower()).strip("-.")


class Int8SelfTest(Document):
    """What an int8 matrix product gave where the exact answer is known.

    `saturates`: sums of two 8-bit products are clipped to 16 bits, as on x86 without VNNI;
    weights of magnitude ≤ 64 are still exact there.
    """

    outcome: Literal["exact", "saturates", "wrong", "failed"]
    worst_relative_error: Annotated[float, Field(ge=0, strict=True)] | None
    words: str
    """One sentence: what was run and what came back."""


class Cpu(Document):
    """A processor, as the process may use it."""

    model: str | None
    architecture: str
    features: tuple[str, ...]
    physical_cores: Positive | None
    usable_cores: Positive
    """By affinity and cgroup quota."""
    last_level_cache_bytes: Positive | None
    memory_bytes: Positive | None
    available_memory_bytes: Count | None
    """By the system and the cgroup, whichever is less."""
    copy_bandwidth_bytes_per_s: Rate | None
    read_bandwidth_bytes_per_s: Rate | None
    int8_self_test: Int8SelfTest | None
    bf16_speed_ratio: Rate | None
    """Speed of a bf16 matrix product over the same in fp32; below 1, bf16 is emulated."""


ThrottleReason = Literal[
    "idle", "application_clocks", "power_cap", "hardware_slowdown", "sync_boost",
    "software_thermal", "hardware_thermal", "power_brake", "display_clocks",
]  # fmt: skip


class Gpu(Document):
    """A GPU, as NVML and torch describe it."""

    index: Count
    name: str
    compute_capability: Capability | None
    sm_count: Positive | None
    memory_bytes: Positive | None
    free_memory_bytes: Count | None
    sm_clock_hz: Rate | None
    sm_clock_max_hz: Rate | None
    memory_clock_hz: Rate | None
    power_limit_w: Rate | None
    """The one in force."""
    ecc: Flag | None
    mig: Flag | None
    processes: Count | None
    """That compute on it now beside the one that asks, as far as the driver shows them."""
    performance_state: Count | None = None
    """0 is full speed, 8 and above are idle."""
    throttle_reasons: tuple[ThrottleReason, ...] | None = None
    """Why the clocks are below their maximum at the moment."""
    power_limit_default_w: Rate | None = None
    pcie_generation: Positive | None = None
    """At the moment: an idle card goes down to 1."""
    pcie_generation_max: Positive | None = None
    """Of card and slot together, as are the widths."""
    pcie_width: Positive | None = None
    pcie_width_max: Positive | None = None
    compute_mode: Literal["default", "exclusive", "prohibited"] | None = None
    ecc_uncorrected_errors: Count | None = None
    """Since the driver was loaded."""
    mig_profiles: tuple[str, ...] | None = None
    """The slices that are made and visible, such as "1g.5gb"."""
    device: Annotated[str, Field(pattern=r"^cuda:\d+$")] | None = None
    """What torch calls it in the process that asked; None: torch does not see it, or was not asked."""


class GpuState(Document):
    """What a GPU is doing now, as NVML tells; None: it does not."""

    sm_clock_hz: Rate | None
    memory_clock_hz: Rate | None
    temperature_c: Count | None
    power_w: Rate | None
    throttled: tuple[str, ...] | None
    """Why its clocks are held down, in NVML's words; empty where they are not."""
    other_processes: Count | None
    """That compute on it, this one not counted."""


class TorchBuild(Document):
    """What the installed torch was built for."""

    version: str
    cuda: str | None
    hip: str | None
    arch_list: tuple[str, ...]
    threads: Positive
    onednn: Flag
    cxx_compiler: str | None
    """The C++ compiler that `torch.compile` would use, or None."""


class Nvrtc(Document):
    """A run-time compiler of CUDA that is installed."""

    version: str
    kind: Literal["wheel", "torch", "toolkit", "system"]
    """Whose it is."""
    architectures: tuple[Capability, ...]
    """Compute capabilities that it says it builds for."""


class Host(Document):
    """What the system gives to this process, and what keeps it from having the rest."""

    container: str | None
    """Its kind ("docker", "kubernetes", …); None where there is no sign of one."""
    kernel_driver: str | None
    """Version of NVIDIA's kernel module, where one is loaded."""
    device_nodes: tuple[str, ...]
    """NVIDIA's under /dev, by which a process reaches the cards."""
    cpu_limit_cores: Rate | None
    """The tightest quota of the cgroups; None: no limit."""
    memory_limit_bytes: Count | None
    """The tightest limit of the cgroups; None: no limit."""
    load: Annotated[float, Field(ge=0, strict=True)] | None
    """Mean number of threads that ran or waited to, over the last minute, before the probe."""
    cache_is_writable: Flag | None
    """Whether measurements can be kept between runs."""


class Software(Document):
    """Versions, by package metadata; nothing is imported to ask."""

    os: str
    python: str
    packages: dict[str, str]
    """Distribution name → version, of those that matter to quantization."""
    torch: TorchBuild | None
    driver: str | None
    cuda_driver: str | None
    environment: dict[str, str]
    """Variables that change what the kernels do, where set (ONEDNN_MAX_CPU_ISA, …)."""
    nvrtc: tuple[Nvrtc, ...] | None = None
    """Every one that was found; None: not asked."""


MEASURED = (
    "copy_bandwidth_bytes_per_s", "read_bandwidth_bytes_per_s", "int8_self_test", "bf16_speed_ratio",
)  # fmt: skip
"""Fields of `Cpu` that only running something can tell."""


NONE_LISTED = "NVML lists no GPU"
"""In `unanswered`, where the driver answers and has no GPU to offer."""


LEFT_OUT = "left out: the device is the CPU"
"""In `unanswered`, where the question is not about GPUs."""
IMPORT = "import torch: "
"""What the words of `unanswered` begin with where it is the import of torch that failed."""


class Machine(TopDocument):
    """Everything that was asked of the machine."""

    document: Literal["machine"] = "machine"
    origin: Literal["probed", "tables"] = "probed"
    """`tables`: written by hand from published tables, for a machine that nobody here has asked.
    Such a document can be checked; it holds no measurement."""
    cpu: Cpu
    gpus: tuple[Gpu, ...]
    software: Software
    fingerprints: dict[str, Fingerprint]
    """Device ("cpu", "cuda:0") → what identifies it."""
    unanswered: dict[str, str]
    """Field → why it could not be read, in the system's own words."""
    host: Host | None = None
    """None: not asked."""

    @property
    def devices(self) -> dict[str, Gpu]:
        """What torch calls a card → the card; by the driver's numbers where torch told of none."""
        named = {gpu.device: gpu for gpu in self.gpus if gpu.device is not None}
        return named or {f"cuda:{gpu.index}": gpu for gpu in self.gpus}

    @property
    def hidden(self) -> tuple[Gpu, ...]:
        """The cards that CUDA_VISIBLE_DEVICES keeps from the process; none where torch does not tell."""
        is_set = "CUDA_VISIBLE_DEVICES" in self.software.environment
        seen = {gpu.device for gpu in self.gpus} - {None}
        silent = any(field.startswith("fingerprints.cuda:") for field in self.unanswered)
        if not (is_set and seen) or silent:
            return ()
        return tuple(gpu for gpu in self.gpus if gpu.device is None)

    def limited_to(self, devices: Collection[str]) -> Machine:
        """The machine without its other GPUs; where none is left, they count as left out."""
        gpus = tuple(gpu for name, gpu in self.devices.items() if name in devices)
        unanswered = self.unanswered
        if not gpus:
            others = {k: words for k, words in unanswered.items() if k.partition(".")[0] != "gpus"}
            unanswered = others | {"gpus": LEFT_OUT}
        kept = {name: item for name, item in self.fingerprints.items() if name in ("cpu", *devices)}
        changes = {"gpus": gpus, "fingerprints": kept, "unanswered": unanswered}
        return self.model_copy(update=changes)

    @property
    def gpus_are_left_out(self) -> bool:
        """Whether the GPUs were taken out of the document, since the question is about the CPU alone."""
        return self.unanswered.get("gpus") == LEFT_OUT

    @model_validator(mode="after")
    def _tables_measure_nothing(self) -> Machine:
        measured = [name for name in MEASURED if getattr(self.cpu, name) is not None]
        if self.origin == "tables" and measured:
            raise ValueError(f"origin is tables, but cpu.{measured[0]} can only be measured")
        return self
