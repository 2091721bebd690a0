"""Does the container give the process the GPU and the rest that the machine has?"""

from __future__ import annotations

from qprobe.doctor._check import Check
from qprobe.doctor.checks._cuda import is_kept_out
from qprobe.doctor.checks._limits import tell_limits
from qprobe.documents.finding import Finding, Fix
from qprobe.documents.machine import Host, Machine

_TOOLKIT = (
    "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"
)


def check_container(machine: Machine) -> Finding:
    """Fail where the driver is loaded outside and no device comes in; else tell the limits."""
    host = machine.host
    if host is None:
        return CHECK.skip("not asked", "The document is from before qprobe asked.")
    if is_kept_out(machine):
        return _explain_hidden(machine, host)
    limits = tell_limits(host)
    if not limits:
        return CHECK.ok(f"{host.container}, without limits" if host.container else "none")
    return CHECK.ok(f"{host.container or 'no container'}; {', '.join(limits)}")


def _explain_hidden(machine: Machine, host: Host) -> Finding:
    words = machine.unanswered.get("gpus", "NVML lists no GPU").rstrip(".")
    devices = [name for name in host.device_nodes if name.removeprefix("nvidia").isdigit()]
    detail = (
        f"The kernel has NVIDIA's driver {host.kernel_driver} loaded. In this process: "
        f"{f'/dev/{devices[0]}' if devices else 'no /dev/nvidia0'}; NVML: {words}."
    )
    if limits := tell_limits(host):
        detail += f" The process is limited to {' and '.join(limits)}."
    if host.container is None:
        return CHECK.fail(
            "the driver is loaded, and no GPU is to be had",
            detail,
            Fix(
                text="Look at the permissions of the device files, and at what the driver says.",
                commands=("nvidia-smi",),
            ),
        )
    if host.container == "kubernetes":
        return CHECK.fail(
            "the pod was given no GPU",
            detail,
            Fix(
                text="Ask for one in the pod's specification: resources.limits, nvidia.com/gpu: 1.",
                link="https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/",
            ),
        )
    run = (
        "podman run --device nvidia.com/gpu=all"
        if host.container == "podman"
        else "docker run --gpus all"
    )
    return CHECK.fail(
        "the container was given no GPU",
        detail,
        Fix(
            text=f"Start it with the GPU ({run} …); the NVIDIA Container Toolkit must be installed "
            "outside.",
            link=_TOOLKIT,
        ),
    )


CHECK = Check(
    id="container",
    title="Container",
    why="a container hides the GPU unless it is given in, and its limits are not the machine's",
    needs=(),
    asks=(),
    run=check_container,
)
