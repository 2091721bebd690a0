"""Which builds of torch leave which cards and drivers out."""

from __future__ import annotations

from qprobe.doctor.rules.faults import Fault, Where


def _install(versions: str, cuda: str) -> str:
    wheels = f"https://download.pytorch.org/whl/{cuda}"
    return f'pip install --force-reinstall "torch{versions}" --index-url {wheels}'


CU126 = _install(">=2.6,<2.15", "cu126")
"""For cards before Turing: 2.14 is the last with a build for CUDA 12."""
CU126_HOPPER = _install(">=2.6,<2.11", "cu126")
"""For cards before Volta beside 9.0, which the builds for 12.6 leave out since 2.11."""
CU118 = _install(">=2.6,<2.8", "cu118")
"""For drivers of CUDA 11, from 450.80.02 on: 2.7 is the last with a build for it."""
CU128 = _install(">=2.8,<2.12", "cu128")
"""For later cards with a driver for CUDA 12: the builds for 12.6 leave Hopper out since 2.11."""
CU128_VOLTA = _install(">=2.8,<2.11", "cu128")
"""For Volta beside Hopper or Blackwell: 2.11 is the first for 12.8 without 7.0."""

FAULTS = (
    Fault(
        id="torch-without-cuda-12",
        where=Where({"torch": ">=2.15"}, card="<7.5"),
        status="fail",
        summary="torch 2.15 and later are not built for this card",
        detail=(
            "2.14 is the last release of torch with builds for CUDA 12, and CUDA 13 has no code for "
            "cards before 7.5."
        ),
        fix="Stay with torch 2.14 or earlier, built for CUDA 12.6.",
        commands=(CU126,),
        source="https://github.com/pytorch/pytorch/issues/190385",
    ),
    Fault(
        id="torch-without-volta",
        where=Where({"torch": ">=2.11"}, card="<7.5", torch_cuda=">=12.8"),
        status="fail",
        summary="this build of torch leaves cards before 7.5 out",
        detail=(
            "The builds of torch for CUDA 12.8 dropped 7.0 with 2.11, and what pip installs by itself "
            "since then is for CUDA 13, which has nothing before 7.5; those for CUDA 12.6 keep such cards "
            "up to 2.14."
        ),
        fix="Take the build for CUDA 12.6.",
        commands=(CU126,),
        source="https://github.com/pytorch/pytorch/issues/172352",
    ),
    Fault(
        id="torch-2.15-old-driver",
        where=Where({"torch": ">=2.15"}, card=">=7.5", driver_cuda="<13"),
        status="fail",
        summary="torch 2.15 and later need a driver for CUDA 13",
        detail="Since torch 2.15 there is no build for CUDA 12, and this driver takes no CUDA 13.",
        fix="Install driver 580 or later, or an older torch.",
        commands=(CU128,),
        source="https://github.com/pytorch/pytorch/issues/190385",
    ),
)
"""Of those that a machine has, what fails comes first; then the order here counts."""
