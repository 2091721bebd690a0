from __future__ import annotations

from tests.doctor.planted._steps import around

METHOD = around("right", lambda: None)
