"""A driver whose cards are the emulator: kernels run on the memory of processor tensors."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from functools import partial

import torch

from qprobe.documents import arch
from qprobe.kernels.cuda.arguments import TensorMap
from qprobe.kernels.cuda.driver import Blocks, Card, Launch
from qprobe.kernels.cuda.portfolio import Source
from qprobe.kernels.cuda.tensor_maps import Boxes
from tests.emulator.build import EmulatorError, load_engine, load_kernel
from tests.emulator.maps import encode

LIMIT_S = 120
CARD = Card(0, "Emulated", "8.0", 4)


@dataclass
class EmulatedDriver:
    """One card; what was launched is kept, in order."""

    card: Card = CARD
    schedule: str = "eager"
    stream: int = 0
    captures: bool = False
    fault: str = ""
    """What a card that has failed says."""
    launched: list[tuple[str, str, Blocks]] = field(default_factory=list)
    overlapping: list[bool] = field(default_factory=list)
    """Of each, whether it might have begun before the one before had ended."""

    def find_obstacle(self) -> str:
        return ""

    def cards(self) -> tuple[Card, ...]:
        return (self.card,)

    def find_build_obstacle(self, _card: Card, _features: tuple[str, ...]) -> str:
        return ""

    def find_device(self, _index: int) -> torch.device:
        return torch.device("cpu")

    def find_stream(self, _index: int) -> int:
        return self.stream

    def is_capturing(self) -> bool:
        return self.captures

    def synchronize(self, _index: int) -> None:
        if self.fault:
            raise RuntimeError(self.fault)

    def encode(self, boxes: Boxes, address: int, _index: int) -> TensorMap:
        return encode(boxes, address)

    def load(self, source: Source, build_name: str, _index: int) -> Launch:
        build = source.builds[build_name]
        target = arch.target_for(self.card.capability, source.manifest.requires)
        call = load_kernel(source.path, build, target)

        def start(blocks: Blocks, arguments: int, stream: int | None) -> None:
            assert stream is None or (source.manifest.overlaps and stream == self.stream)
            self.launched.append((source.name, build_name, blocks))
            self.overlapping.append(stream is not None)
            words = ctypes.create_string_buffer(600)
            failed = load_engine().qp_emulator_launch(
                call,
                (ctypes.c_uint * 3)(*blocks),
                (ctypes.c_uint * 3)(build.threads, 1, 1),
                ctypes.c_uint(build.cluster),
                ctypes.c_size_t(build.shared_bytes),
                self.schedule.encode(),
                ctypes.c_uint(0),
                ctypes.c_uint(LIMIT_S),
                ctypes.c_void_p(arguments),
                words,
                ctypes.c_size_t(len(words)),
            )
            if failed:
                raise EmulatorError(f"{source.name}: {words.value.decode()}")

        return lambda blocks, arguments: partial(start, blocks, arguments)
