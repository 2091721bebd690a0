from __future__ import annotations

import sys

from tests.doctor.planted._steps import around

METHOD = around("exits-politely", lambda: sys.exit("I refuse"))
