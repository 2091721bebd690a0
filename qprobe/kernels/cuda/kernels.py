"""Makes a kernel of the registry from every CUDA source that computes layers."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from qprobe._discover import discover
from qprobe.documents import arch
from qprobe.kernels._kernel import Kernel, LayerSpec, Pack, Unpack, any_code
from qprobe.kernels.cuda import counters, driver, packing, quantizer, suspects
from qprobe.kernels.cuda._products import BY_ROLE
from qprobe.kernels.cuda._stored import add_label
from qprobe.kernels.cuda.arguments import INT32_MAX
from qprobe.kernels.cuda.driver import Card
from qprobe.kernels.cuda.grid import most_along
from qprobe.kernels.cuda.portfolio import Source, sources_of


def cuda_kernels() -> tuple[Kernel, ...]:
    """A kernel for each source, those that ask for the newest features first, then those that ask for most.

    Empty where there are no sources.
    """
    sources = sorted(sources_of(*BY_ROLE), key=_newness, reverse=True)
    return tuple(_make(source) for source in sources)


def _newness(source: Source) -> list[int]:
    """Of each feature, the place of the first architecture that has it, the newest first."""
    places = (
        next(i for i, own in enumerate(arch.CAPABILITIES) if not arch.missing((feature,), own))
        for feature in source.manifest.requires
    )
    return sorted(places, reverse=True)


def _make(source: Source) -> Kernel:
    manifest = source.manifest
    pack, unpack = _packings()[manifest.packing or ""]
    return Kernel(
        id=f"cuda.{source.name}",
        schemes=frozenset(manifest.schemes),
        device="cuda",
        packing=f"cuda_{manifest.packing}",
        input=manifest.input,
        absent=lambda device: _absent(source, device),
        max_code=any_code,
        refuse=lambda spec: _refuse(source, spec),
        pack=_labelled(pack),
        unpack=lambda packed, spec: unpack(packed[:-1], spec),
        run=BY_ROLE[manifest.role](source),
        warm_up=lambda spec: _warm_up(source, spec),
        max_rows=manifest.max_rows,
        min_rows=manifest.min_rows,
        unproven=manifest.unproven,
        dequantizes=manifest.role == "dequantize",
        trial=lambda spec: _trial(source, spec),
    )


@functools.cache
def _packings() -> dict[str, tuple[Pack, Unpack]]:
    """Name of a packing → what packs and unpacks."""
    pairs = zip(discover(packing, "pack"), discover(packing, "unpack"), strict=True)
    return {pack.__module__.rpartition(".")[2]: (pack, unpack) for pack, unpack in pairs}


def _labelled(pack: Pack) -> Callable[[dict[str, Tensor], LayerSpec], Sequence[Tensor]]:
    return lambda tensors, spec: add_label(pack(tensors, spec), spec)


def _absent(source: Source, device: str) -> str:
    """Why the card cannot run the kernel; "" if it can."""
    current = driver.current()
    if words := current.find_obstacle():
        return words
    card = driver.find_card(_index(device))
    return lacks(source, card) or current.find_build_obstacle(card, source.manifest.requires)


def _refuse(source: Source, spec: LayerSpec) -> str:
    card = driver.find_card(_index(spec.device))
    if words := suspects.find_crash(source, card):
        return words
    builds = source.find_builds(spec.scheme, spec.activation_dtype, card.capability)
    if not builds:
        dtypes = ", ".join(source.manifest.activations)
        return (
            f"for {card.name} it is not built for {spec.activation_dtype} and {spec.scheme} "
            f"(elsewhere for {dtypes})"
        )
    if spec.n * spec.k > INT32_MAX:
        return f"it indexes {INT32_MAX} weights at most; N = {spec.n} times K = {spec.k} is more"
    if words := _refuse_rows(source, spec):
        return words
    most = min(most_along(build.tile, source.manifest.grid, "n") for build in builds)
    if source.manifest.role != "dequantize" and spec.n > most:
        return f"its blocks cover {most} output features at most; N = {spec.n} is more"
    return ""


def _refuse_rows(source: Source, spec: LayerSpec) -> str:
    """Whether the kernel takes rows of x as long as these; those of codes are padded."""
    row, multiple = spec.k * spec.activation_dtype.itemsize, source.manifest.row_bytes
    if row % multiple:
        return f"it copies rows of a multiple of {multiple} bytes; K = {spec.k} in {spec.activation_dtype} has {row}"
    return ""


def _warm_up(source: Source, spec: LayerSpec) -> None:
    """Compile and load every build that the layer may need, whatever the rows: what quantizes them, too."""
    index = _index(spec.device)
    card = driver.find_card(index)
    for build in source.find_builds(spec.scheme, spec.activation_dtype, card.capability):
        driver.current().load(source, build.name, index)
    if "counters" in source.manifest.arguments:
        counters.provide(index)
    if source.manifest.input == "int8":
        quantizer.warm_up(spec)


@contextlib.contextmanager
def _trial(source: Source, spec: LayerSpec) -> Iterator[None]:
    """What quantizes the rows is tried by itself: its faults are not the product's."""
    if source.manifest.input == "int8":
        quantizer.try_out(spec)
    with suspects.trial(source, _index(spec.device)):
        yield


def lacks(source: Source, card: Card) -> str:
    """Which features of the kernel the card does not have in hardware; "" if it has all."""
    lacking = arch.missing(source.manifest.requires, card.capability, card.name)
    if not lacking:
        return ""
    kinds = {arch.support(feature, card.capability, card.name) for feature in lacking}
    how = "emulates" if kinds == {"emulated"} else "lacks"
    return f"{card.name} (compute capability {card.capability}) {how} {', '.join(lacking)}"


def _index(device: str) -> int:
    return int(device.partition(":")[2] or 0)
