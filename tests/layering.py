"""Imports point down, and each outside world has one door: the checker, for any folder of a package."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROWS = (  # top first: a module imports only from rows below its own, or from its own part
    {""},  # the package itself: `qprobe/__init__.py`
    {"__main__"},
    {"cli"},
    {"flow"},
    {"render", "interop"},
    {"doctor", "policy", "bench", "sensitivity", "apply", "probe"},
    {"layers"},
    {"kernels"},
    {"quantize", "checkpoint", "timing"},
    {"documents"},
    {"errors", "_discover", "_lifetime", "_version"},
)
RANK = {part: rank for rank, row in enumerate(ROWS) for part in row}

DOORS = {  # an outside package → the modules (or packages) that may import it
    "pynvml": ("qprobe.probe.nvml",),
    "click": ("qprobe.cli",),
    "cupy": ("qprobe.kernels.cuda.loader",),
    "transformers": ("qprobe.checkpoint.loading", "qprobe.checkpoint.text", "qprobe.interop"),
    "rich": ("qprobe.render", "qprobe.cli"),
    "jinja2": ("qprobe.render",),
    "scipy": ("qprobe.policy",),
    "platformdirs": ("qprobe.timing.cache",),
}

PURE = (
    "qprobe.policy",
    "qprobe.doctor.checks",
    "qprobe.doctor._check",
    "qprobe.doctor.rules",
    "qprobe.render",
)
PURE_ROOTS = ("qprobe.documents", "qprobe.errors", "qprobe._discover")

OUTSIDE = {  # what is closed to the world may import the standard library and this; first match
    "qprobe.timing.cache": {"platformdirs"},
    "qprobe.policy": {"pydantic", "numpy", "scipy"},
    "qprobe.render": {"pydantic", "rich", "jinja2", "plotly"},
    "qprobe.doctor.checks": {"pydantic"},
    "qprobe.doctor._check": {"pydantic"},
    "qprobe.doctor.rules": {"pydantic"},
    "qprobe.documents": {"pydantic", "pydantic_core"},
    "qprobe.errors": set(),
    "qprobe._discover": set(),
    "qprobe._lifetime": set(),
    "qprobe._version": set(),
}

COMPUTED = ("qprobe", "qprobe._discover", "qprobe.cli")  # may import a module by a computed name
IMPORTERS = {"import_module", "__import__"}


def find_violations(package: Path) -> list[str]:
    """Every import in the folder `package`, of a package `qprobe`, that breaks a rule."""
    files = {_module_name(package, path): path for path in sorted(package.rglob("*.py"))}
    known = {".".join(m.split(".")[:end]) for m in files for end in range(1, m.count(".") + 2)}
    found = []
    for module, path in files.items():
        where = f"qprobe/{path.relative_to(package).as_posix()}"
        if _part(module) not in RANK:
            found.append(f"{where}: {module} is not ranked")
            continue
        for line, target in _imports(ast.parse(path.read_text(encoding="utf-8")), known):
            complaint = _judge(module, target)
            if complaint:
                found.append(f"{where}:{line}: {complaint}")
    return found


def _module_name(package: Path, path: Path) -> str:
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(("qprobe", *(part for part in parts if part != "__init__")))


def _part(module: str) -> str:
    """The ranked part of a module's name: `policy` of `qprobe.policy.solver`."""
    return [*module.split("."), ""][1]


def _is_in(module: str, packages: tuple[str, ...] | dict[str, set[str]]) -> str | None:
    """The package among `packages` that the module is, or lies in."""
    return next((p for p in packages if module == p or module.startswith(p + ".")), None)


def _judge(module: str, target: str) -> str | None:
    """What is wrong with `module` importing `target`, if anything."""
    if target == "computed":
        return None if _may_compute(module) else "imports a module by a computed name"
    if target == "relative":
        return "imports by a relative name"
    root = target.split(".")[0]
    if root in DOORS and not _is_in(module, DOORS[root]):
        return f"imports {root}, which only {' and '.join(DOORS[root])} may"
    if root != "qprobe":
        home = _is_in(module, OUTSIDE)
        if home and root not in OUTSIDE[home] | sys.stdlib_module_names:
            return f"imports {root}, which {home} may not"
        return None
    here, there = _part(module), _part(target)
    if there not in RANK:
        return f"imports {target}, which is not ranked"
    home = _is_in(module, PURE)
    if home and not _is_in(target, PURE_ROOTS):
        return None if _is_own(home, target) else f"imports {target}, but {home} is pure"
    if here != there and RANK[there] <= RANK[here]:
        return f"imports {target}, which is not below {here}"
    return None


def _may_compute(module: str) -> bool:
    return module in COMPUTED or module.startswith("qprobe.cli.")


def _is_own(home: str, target: str) -> bool:
    """Whether a pure package stays among the pure modules of its own part."""
    target_home = _is_in(target, PURE)
    return target_home is not None and _part(target_home) == _part(home)


def _imports(tree: ast.Module, modules: set[str]) -> Iterator[tuple[int, str]]:
    """Line and full name of all that is imported, in functions and under TYPE_CHECKING too."""
    called = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(level=level) if level:
                yield node.lineno, "relative"
            case ast.ImportFrom(module=str(base), names=names):
                for alias in names:
                    full = f"{base}.{alias.name}"
                    yield node.lineno, full if full in modules else base
                    if alias.name in IMPORTERS and alias.asname:
                        yield node.lineno, "computed"
            case ast.Call(func=ast.Name() | ast.Attribute() as function):
                if _last_name(function) in IMPORTERS:
                    called.add(function)
                    yield node.lineno, _named_module(node)
            case ast.Name() | ast.Attribute():
                if _last_name(node) in IMPORTERS and node not in called:
                    yield node.lineno, "computed"


def _last_name(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def _named_module(call: ast.Call) -> str:
    """The module that a call of `import_module` names, where it is a literal."""
    given = [*call.args[:1], *(k.value for k in call.keywords if k.arg == "name")]
    match given:
        case [ast.Constant(value=str(name))]:
            return "relative" if name.startswith(".") else name
    return "computed"
