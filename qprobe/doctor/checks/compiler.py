"""Can torch.compile work here?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Machine


def check_compiler(machine: Machine) -> Finding:
    """Look for the C++ compiler that torch.compile runs."""
    torch = machine.software.torch
    if torch is None:
        return CHECK.skip("unknown without torch")
    if torch.cxx_compiler is not None:
        return CHECK.ok("torch.compile has one", torch.cxx_compiler)
    words = machine.unanswered.get("software.torch.cxx_compiler", "g++ was not found")
    return CHECK.warn(
        "torch.compile cannot work",
        f"{words}. qprobe's layers run without it; torch.compile of a model on the CPU does not.",
        Fix(
            text="Install a C++ compiler and Python's headers, or name another compiler in CXX.",
            commands=("apt-get install g++ python3-dev",),
        ),
    )


CHECK = Check(
    id="compiler",
    title="C++ compiler",
    why="torch.compile builds its CPU kernels with it",
    needs=("torch",),
    asks=("facts",),
    run=check_compiler,
)
