"""Compiles what the chosen tests run before the first of them does, two kernels at a time."""

import pytest

from tests.emulator.build import compile_all, load_engine
from tests.emulator.launch import default_capability


@pytest.fixture(scope="session", autouse=True)
def _compiled(request):
    load_engine()
    wanted = {}
    for item in request.session.items:
        # As tests of many kernels name it: a path and a build.
        match getattr(item, "callspec", None) and item.callspec.params.get("kernel"):
            case (path, build):
                wanted[str((path, build))] = (path, build, default_capability(build))
    compile_all(list(wanted.values()))
