"""Lists a folder of one-item modules; never swallows an error."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any


def discover(package: ModuleType, constant: str) -> tuple[Any, ...]:
    """Import every public module of `package`, in name order, and take `constant` from each.

    Raises AttributeError naming the module when one lacks the constant.
    """
    names = sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name[0] != "_")
    modules = (importlib.import_module(f"{package.__name__}.{name}") for name in names)
    return tuple(getattr(module, constant) for module in modules)


def discover_in(package: str, constant: str) -> tuple[Any, ...]:
    """`discover` in a package that is given by its name."""
    return discover(importlib.import_module(package), constant)
