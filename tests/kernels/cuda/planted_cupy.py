"""A CuPy whose driver is as strict as NVIDIA's, for a card that is not there.

A context belongs to a thread, and a new thread has none; shared memory beyond 48 KiB, static and dynamic together, must be
asked for, and not beyond what the card has; what a module holds is read from its machine code.
"""

from __future__ import annotations

import contextlib
import struct
import sys
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import torch

from qprobe.documents import arch
from qprobe.kernels.cuda import loader
from qprobe.kernels.cuda.driver import Card
from tests.machine_code.elf import Code, read_cubin

FREE_SHARED_BYTES = 48 * 1024
MAX_DYNAMIC_SHARED = 8
"""CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES."""
STREAM = 500


class CUDADriverError(RuntimeError):
    """As CuPy raises it."""


@dataclass
class Function:
    """A kernel in a context, and the dynamic shared memory that it may be launched with."""

    code: Code
    context: int
    dynamic_bytes: int


@dataclass
class PlantedCupy:
    """Stands for `cupy`, and for what torch knows of the same cards. What was launched is kept, in order."""

    cards: tuple[Card, ...] = (Card(0, "Planted", "8.0", 4),)
    driver_version: int = 13000
    launched: list[tuple[str, int, int]] = field(default_factory=list)
    """Entry, context and stream."""

    def __post_init__(self):
        self.here = threading.local()
        self.functions: list[Function] = []
        self.modules: list[Code] = []
        self.cuda = SimpleNamespace(
            driver=SimpleNamespace(
                CUDADriverError=CUDADriverError,
                ctxGetCurrent=self.current_context,
                ctxSetCurrent=self.set_context,
                moduleLoadData=self.load,
                moduleGetFunction=self.find_function,
                funcSetAttribute=self.set_attribute,
                launchKernel=self.launch,
            ),
            runtime=SimpleNamespace(
                driverGetVersion=lambda: self.driver_version, free=lambda _: self.touch()
            ),
            Device=self.device,
        )

    def plant(self, monkeypatch):
        """Take the place of CuPy and of torch's CUDA until the test ends."""
        monkeypatch.setitem(sys.modules, "cupy", self)
        monkeypatch.setattr(loader, "CUPY", SimpleNamespace(cards=lambda: self.cards))
        for cache in (loader._load, loader._driver_cuda):
            cache.cache_clear()
        monkeypatch.setattr(torch.cuda, "init", lambda: None)
        monkeypatch.setattr(torch.cuda, "device", self.device)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: self.index)
        monkeypatch.setattr(
            torch._C, "_cuda_getCurrentRawStream", lambda index: STREAM + index, raising=False
        )

    # ---- What is a thread's own ----

    @property
    def index(self):
        return getattr(self.here, "index", 0)

    def current_context(self):
        return getattr(self.here, "context", 0)

    def set_context(self, context):
        assert context in (0, *map(self.context_of, range(len(self.cards))))
        self.here.context = context
        self.here.index = max(context - self.context_of(0), 0)

    def context_of(self, index):
        return 9000 + index

    @contextlib.contextmanager
    def device(self, index):
        """Both libraries change to a card only where another is current, and only then is there a context for sure."""
        before = self.index
        if before != index:
            self.set_context(self.context_of(index))
        yield
        if before != index:
            self.set_context(self.context_of(before))

    def touch(self):
        """Any call of the runtime that needs a context makes the card's own current."""
        if not self.current_context():
            self.set_context(self.context_of(self.index))

    # ---- The driver ----

    def load(self, image):
        self._need_context()
        try:
            self.modules.append(read_cubin(image))
        except (ValueError, KeyError, IndexError, struct.error):
            raise CUDADriverError(
                "CUDA_ERROR_INVALID_IMAGE: device kernel image is invalid"
            ) from None
        return len(self.modules)

    def find_function(self, module, name):
        code = self.modules[module - 1]
        if code.entry != name:
            raise CUDADriverError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        free = FREE_SHARED_BYTES - code.shared_bytes
        self.functions.append(Function(code, self.current_context(), free))
        return len(self.functions)

    def set_attribute(self, function, attribute, value):
        assert attribute == MAX_DYNAMIC_SHARED
        found = self.functions[function - 1]
        capability = self.cards[found.context - self.context_of(0)].capability
        if found.code.shared_bytes + value > arch.SHARED_BYTES[capability]:
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        found.dynamic_bytes = max(value, FREE_SHARED_BYTES - found.code.shared_bytes)

    def launch(self, function, *numbers):
        *_, shared_bytes, stream, _arguments, _extra = numbers
        self._need_context()
        found = self.functions[function - 1]
        if found.context != self.current_context():
            raise CUDADriverError("CUDA_ERROR_INVALID_HANDLE: invalid resource handle")
        if shared_bytes > found.dynamic_bytes:
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        self.launched.append((found.code.entry, found.context, stream))

    def _need_context(self):
        if not self.current_context():
            raise CUDADriverError("CUDA_ERROR_INVALID_CONTEXT: invalid device context")
