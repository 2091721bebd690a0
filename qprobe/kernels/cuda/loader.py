"""Loads kernels onto NVIDIA GPUs and launches them, through CuPy, which nothing else imports.

CuPy serves for the driver alone: compiling is ours, memory is torch's, and so is the stream. A
launch allocates nothing and waits for nothing, so that it can be captured in a CUDA graph.
"""

from __future__ import annotations

import ctypes
import functools
import re
from collections.abc import Callable
from importlib import metadata
from typing import Any

import torch

from qprobe.errors import UnavailableError
from qprobe.kernels import gpus
from qprobe.kernels.cuda import overlap, tensor_maps
from qprobe.kernels.cuda.arguments import TensorMap
from qprobe.kernels.cuda.cubins import forget_cubin, load_cubin, name_build
from qprobe.kernels.cuda.driver import Blocks, Card, Launch, Start
from qprobe.kernels.cuda.nvrtc import choose_compiler
from qprobe.kernels.cuda.portfolio import Source
from qprobe.kernels.cuda.tensor_maps import Boxes

OLDEST_CUPY = 14
OLDEST_CUDA = 12
MAPS = 8192
"""Tensor maps that are kept: those of the weights of a large model, and of as many activations."""
MAX_DYNAMIC_SHARED = 8
"""CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, in the driver's own numbers."""


class CupyDriver:
    """The GPUs that torch can use, driven through CuPy."""

    @functools.cached_property
    def _obstacle(self) -> str:
        if words := gpus.no_gpu() or cupy_obstacle(installed_cupys()):
            return words
        return _try_cupy()

    def find_obstacle(self) -> str:
        """Why no kernel can be launched here. CuPy is imported only where there is a GPU for it."""
        return self._obstacle

    @functools.cached_property
    def _cards(self) -> tuple[Card, ...]:
        found = []
        for index, capability in enumerate(gpus.all_capabilities()):
            facts = torch.cuda.get_device_properties(index)
            found.append(
                Card(index, facts.name, gpus.spell(capability), facts.multi_processor_count)
            )
        return tuple(found)

    def cards(self) -> tuple[Card, ...]:
        """Every GPU that torch sees, in torch's order."""
        return self._cards

    def find_build_obstacle(self, card: Card, features: tuple[str, ...]) -> str:
        """Why NVRTC or the driver do not serve a kernel with these features, with what to do; "" if they do."""
        words = tensor_maps.find_obstacle() if "cp_async_bulk" in features else ""
        return words or _build_obstacle(card.capability, features)

    def find_device(self, index: int) -> torch.device:
        """The card, by torch's name."""
        return torch.device("cuda", index)

    def find_stream(self, index: int) -> int:
        """Torch's current stream of a card."""
        return int(torch._C._cuda_getCurrentRawStream(index))

    def is_capturing(self) -> bool:
        """Whether torch captures the current stream of the current card."""
        return bool(torch._C._cuda_isCurrentStreamCapturing())

    def synchronize(self, index: int) -> None:
        """Wait for all that a card was told; what failed there is an error from then on, whatever is asked."""
        torch.cuda.synchronize(index)

    def encode(self, boxes: Boxes, address: int, index: int) -> TensorMap:
        """The tensor map of a matrix on a card; kept for those that come again, as weights do at each call."""
        return _encode(boxes, address, index)

    def load(self, source: Source, build: str, index: int) -> Launch:
        """The build on a card, which takes a while the first time: compiled, or from the cache."""
        return _load(source, build, index)


CUPY = CupyDriver()


def installed_cupys() -> dict[str, str]:
    """Distribution → version of every CuPy in the folder that it is imported from; asks the metadata, imports nothing."""
    found: dict[str, str] = {}
    first = None
    for distribution in metadata.distributions():
        name = str(distribution.metadata["Name"] or "").lower().replace("_", "-")
        if re.fullmatch(r"cupy(-cuda\d+x)?", name):
            folder = str(distribution.locate_file(""))
            first = first or folder
            if folder == first:  # Those of folders that Python looks through later are never seen.
                found.setdefault(name, distribution.version)
    return found


def cupy_obstacle(found: dict[str, str]) -> str:
    """Why the installed CuPy will not do, by its name and version; "" if it may."""
    right = f"cupy-cuda{_cuda_major()}x"
    if not found:
        return f"CuPy is not installed: pip install {right}"
    if len(found) > 1:
        names = " ".join(sorted(found))
        return f"{len(found)} CuPys overwrite each other: pip uninstall -y {names}, then pip install {right}"
    ((name, version),) = found.items()
    if int(version.partition(".")[0]) < OLDEST_CUPY:
        return f"{name} {version} is older than {OLDEST_CUPY}: pip install --upgrade {right}"
    return ""


def _cuda_major() -> str:
    """Of the CUDA that torch was built for: CuPy should be for the same, but there is no new one for 11."""
    major = int(str(torch.version.cuda or "13").partition(".")[0])
    return str(max(OLDEST_CUDA, major))


def _try_cupy() -> str:
    """Why CuPy does not start here; "" if it does."""
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
        version = cupy.cuda.runtime.driverGetVersion()
    except (ImportError, OSError, RuntimeError) as error:
        return (
            f"CuPy does not start ({_one_line(error):.200}): install cupy-cuda{_cuda_major()}x, or the one for "
            "the CUDA that the driver goes up to, and no other"
        )
    if not count:
        return "CuPy finds no NVIDIA GPU, torch does: install a CuPy for the CUDA of the driver"
    return "" if version else "CuPy finds no driver"


@functools.cache
def _build_obstacle(capability: str, features: tuple[str, ...]) -> str:
    try:
        choose_compiler(capability, features, _driver_cuda())
    except UnavailableError as error:
        return f"{error}: {error.hint}" if error.hint else str(error)
    return ""


@functools.cache
def _driver_cuda() -> tuple[int, int]:
    """The CUDA version that the driver goes up to."""
    import cupy

    version = cupy.cuda.runtime.driverGetVersion()
    return version // 1000, version % 1000 // 10


@functools.lru_cache(maxsize=MAPS)
def _encode(boxes: Boxes, address: int, index: int) -> TensorMap:
    import cupy

    with torch.cuda.device(index), cupy.cuda.Device(index):
        _have_context(cupy)
        return tensor_maps.encode(boxes, address)


def _have_context(cupy: Any) -> None:
    """Both libraries go by a card's primary context; a thread that has done nothing yet may have none."""
    if not cupy.cuda.driver.ctxGetCurrent():
        cupy.cuda.runtime.free(0)


@functools.cache
def _load(source: Source, build_name: str, index: int) -> Launch:
    import cupy

    driver, build, card = cupy.cuda.driver, source.builds[build_name], CUPY.cards()[index]
    choice = choose_compiler(card.capability, source.manifest.requires, _driver_cuda())
    image, name = load_cubin(source.path, build, choice), name_build(source.path, build)
    torch.cuda.init()
    try:
        with torch.cuda.device(index), cupy.cuda.Device(index):
            _have_context(cupy)
            module = _load_module(driver, image)
            function = driver.moduleGetFunction(module, source.manifest.entry)
            launch_ex = None
            if source.manifest.overlaps:
                launch_ex = overlap.find_launcher(card.capability, _driver_cuda())
            shared = build.shared_bytes
            if launch_ex:
                shared = overlap.take_room(shared, card.capability)
            if shared:
                # Without asking there are 48 KiB, static shared memory included, which only the machine code tells.
                driver.funcSetAttribute(function, MAX_DYNAMIC_SHARED, shared)
            where = f"{name} on {card.name}"
            return _bind(driver, function, where, build.threads, shared, index, launch_ex)
    except torch.OutOfMemoryError as error:
        raise UnavailableError(
            f"{name} cannot be loaded on {card.name}: {error}", "free memory of the GPU"
        ) from error
    except RuntimeError as error:  # The errors of CuPy's driver and runtime are such.
        forget_cubin(source.path, build, choice)
        raise UnavailableError(
            f"{name}, built for sm_{choice.target.replace('.', '')} by "
            f"{choice.compiler.words}, cannot be loaded on {card.name}: {_one_line(error)}",
            "try again: it will be compiled anew; if it stays so, update the driver",
        ) from error


def _load_module(driver: Any, image: bytes) -> int:
    """Raises torch's error where there is no memory for it, even when torch keeps none that it does not use."""
    for is_last in (False, True):
        try:
            return int(driver.moduleLoadData(image))
        except RuntimeError as error:
            if "OUT_OF_MEMORY" not in str(error):
                raise
            if is_last:
                raise torch.OutOfMemoryError(_one_line(error)) from error
            torch.cuda.empty_cache()
    raise AssertionError


def _bind(
    driver: Any,
    function: int,
    name: str,
    threads: int,
    shared: int,
    index: int,
    launch_ex: overlap.LaunchEx | None = None,
) -> Launch:
    """Launches on torch's current stream of the card, whichever card is current, in any thread.

    The context that is current now is the one that the function belongs to. A thread that has
    called nothing of CUDA's runtime, as one of autograd or of a server may, has none of its own.
    With `launch_ex` a launch may overlap the kernel before it.
    """
    context = driver.ctxGetCurrent()
    launch_kernel, context_of_thread = driver.launchKernel, driver.ctxGetCurrent
    stream_of: Callable[[int], int] = torch._C._cuda_getCurrentRawStream
    current = torch.cuda.current_device

    def prepare(blocks: Blocks, arguments: int) -> Start:
        x, y, z = blocks
        configuration = overlap.configure(blocks, threads, shared)
        # Made once: at each launch they would take as long as the launch itself.
        asked = (
            ctypes.byref(configuration),
            ctypes.c_void_p(function),
            ctypes.c_void_p(arguments),
            None,
        )

        def start(stream: int | None) -> None:
            try:
                if context_of_thread() != context:
                    driver.ctxSetCurrent(context)
                if launch_ex is not None and stream is not None:
                    configuration.stream = stream
                    status = launch_ex(*asked)
                    if not status:
                        return
                    if status != overlap.NOT_SUPPORTED:
                        driver.check_status(status)
                now = stream_of(index)
                launch_kernel(function, x, y, z, threads, 1, 1, shared, now, arguments, 0)
            except driver.CUDADriverError as error:
                raise UnavailableError(
                    f"{name} cannot be launched with {x} × {y} × {z} blocks of {threads} threads and "
                    f"{shared} bytes of shared memory: {_one_line(error)}",
                    "an error of an earlier kernel is told at the next launch: CUDA_LAUNCH_BLOCKING=1 shows whose it is",
                ) from error

        def start_there(stream: int | None) -> None:
            if current() == index:
                start(stream)
                return
            with torch.cuda.device(index):
                start(stream)

        return start_there

    return prepare


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
