"""Puts together everything that can be known of the machine."""

from __future__ import annotations

from qprobe.documents.machine import Fingerprint, Machine
from qprobe.kernels.device import cuda_count, fingerprint
from qprobe.probe.cpu import probe_cpu
from qprobe.probe.nvml import probe_gpus
from qprobe.probe.software import probe_software


def probe_machine(bandwidth: bool = True, arithmetic: bool = True) -> Machine:
    """Ask the CPU, the GPUs and the installed software; takes some 3 s, nearly all to import torch.

    What cannot be read is None, and `unanswered` says why. Memory bandwidth is measured unless
    `bandwidth` is False, on up to 2 GiB of memory, and the arithmetic is tested, in a process of
    its own, unless `arithmetic` is.
    """
    unanswered: dict[str, str] = {}
    software = probe_software(unanswered)
    has_torch = software.torch is not None
    answer = probe_gpus(has_torch, unanswered)
    return Machine(
        cpu=probe_cpu(has_torch, bandwidth, unanswered, arithmetic=arithmetic),
        gpus=answer.gpus,
        software=software.model_copy(
            update={"driver": answer.driver, "cuda_driver": answer.cuda_driver}
        ),
        fingerprints=_probe_fingerprints(unanswered) if has_torch else {},
        unanswered=unanswered,
    )


def _probe_fingerprints(unanswered: dict[str, str]) -> dict[str, Fingerprint]:
    devices = ("cpu", *(f"cuda:{index}" for index in range(cuda_count())))
    found: dict[str, Fingerprint] = {}
    for device in devices:
        try:
            found[device] = fingerprint(device)
        except RuntimeError as error:  # a GPU that torch lists and cannot start
            unanswered[f"fingerprints.{device}"] = str(error).partition("\n")[0]
    return found
