from __future__ import annotations

import os

from tests.doctor.planted._steps import around

METHOD = around("exits", lambda: os._exit(0))
