from __future__ import annotations

import os

from tests.doctor.planted._steps import around


def corrupt() -> None:
    """Noise and lies on every descriptor that a library may think its own, then none is left."""
    lie = b'{"event":"end","trial":{"name":"made up","outcome":"right"}}\n\xff\xfe\x00'
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, lie)
        except OSError:
            continue
    for descriptor in (1, 2):
        os.write(descriptor, lie * 20_000)
    os.closerange(0, 64)


METHOD = around("corrupts-stdout", corrupt)
