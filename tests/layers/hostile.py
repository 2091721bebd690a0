"""What could crash or hang a process, tried in one of its own: `python -m tests.layers.hostile CHECK`.

Run it with OMP_WAIT_POLICY=PASSIVE: threads that have no core otherwise spin away the others' time.
Says on stdout what it tries and, in lines that begin with WRONG, what came out wrong. Whoever
started it sees from the last line what a crash or a hang was about.
"""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from qprobe.documents.plan import KernelRange
from qprobe.documents.scheme import SCHEMES
from qprobe.errors import QprobeError
from qprobe.kernels._kernel import Kernel
from qprobe.kernels.registry import choose_algorithm, kernels_for
from qprobe.layers import make_layer

WRONG = "WRONG"
CHILD_S = 5
"""A product takes a millisecond; a child that takes this long hangs."""
SIZES = ((1, 1), (1, 64), (64, 1), (2, 3), (3, 2), (7, 32), (8, 33), (16, 15), (17, 16), (31, 128),
         (32, 127), (33, 129), (64, 256), (65, 640), (130, 384), (1, 128), (5, 4096))  # fmt: skip
"""(N, K): ones, odd ones, and one beside every power of two that a kernel could want."""
ROWS = (0, 1, 2, 5, 17, 64)
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def tolerance(scheme: str) -> float:
    """The relative error that a layer of normal weights may make on normal activations."""
    bits = getattr(SCHEMES[scheme].weights, "num_bits", 16)
    is_float8 = bits == 8 and getattr(SCHEMES[scheme].weights, "type", "") == "float"
    return 0.06 if is_float8 else {4: 0.2, 8: 0.025, 16: 0.01}[bits]


def present() -> Iterator[tuple[str, Kernel]]:
    """Every scheme with every kernel that computes it on this machine's CPU."""
    for kernel in kernels_for("cpu"):
        if not kernel.absent("cpu"):
            yield from ((scheme, kernel) for scheme in sorted(kernel.schemes))


def make(
    linear: nn.Linear, scheme: str, kernel: Kernel, dtype: torch.dtype = torch.float32
) -> nn.Linear:
    """The layer that a plan would install, through one kernel."""
    kernels = (KernelRange(kernel=kernel.id, m_min=1, m_max=None),)
    algorithm = choose_algorithm(SCHEMES[scheme], kernel)
    return make_layer(linear, SCHEMES[scheme], algorithm, kernels, dtype)


@dataclass(frozen=True)
class Way:
    """A scheme by a kernel, at the first compute type that the kernel takes."""

    scheme: str
    kernel: Kernel
    dtype: torch.dtype

    @property
    def id(self) -> str:
        return f"{self.scheme}-{self.kernel.id}"

    def make(self, linear: nn.Linear) -> nn.Linear:
        """The layer in place of a linear."""
        return make(linear, self.scheme, self.kernel, self.dtype)


@functools.cache
def ways(n: int, k: int) -> tuple[Way, ...]:
    """One way for every scheme and kernel that compute an (N, K) layer on this machine."""
    found = []
    linear = random_linear(n, k)
    for scheme, kernel in present():
        for dtype in DTYPES:
            try:
                make(linear, scheme, kernel, dtype)
            except QprobeError:
                continue
            found.append(Way(scheme, kernel, dtype))
            break
    return tuple(found)


def random_linear(n: int, k: int) -> nn.Linear:
    """A linear with a normal weight and bias."""
    linear = nn.Linear(k, n).requires_grad_(False).eval()
    linear.weight.normal_(std=k**-0.5)
    return linear


def multiply(x: Tensor, linear: nn.Linear) -> Tensor:
    """What the linear gives for x, in float64."""
    bias = None if linear.bias is None else linear.bias.double()
    return functional.linear(x.double(), linear.weight.double(), bias)


def error(y: Tensor, x: Tensor, linear: nn.Linear) -> float:
    """‖y − exact‖ of a row and a feature, beside ‖x‖·‖w‖ + |b|: what cancels does not count."""
    exact = multiply(x, linear)
    if y.shape != exact.shape:
        return float("inf")
    if not exact.numel():
        return 0.0
    features = linear.out_features**0.5
    size = x.double().norm(dim=-1).mean() * linear.weight.double().norm() / features
    size += 0 if linear.bias is None else linear.bias.double().norm() / features
    distance = (y.double() - exact).norm(dim=-1).mean() / features
    return float(distance / size) if size else float(distance)


def check_shapes() -> None:
    """Every kernel on sizes that it was not written for, on any number of rows and any type."""
    for (scheme, kernel), (n, k) in itertools.product(present(), SIZES):
        linear = random_linear(n, k)
        for dtype in DTYPES:
            case = f"{scheme} by {kernel.id}, N = {n}, K = {k}, {dtype}"
            print(case, flush=True)
            try:
                layer = make(linear, scheme, kernel, dtype)
            except QprobeError as refusal:
                if not str(refusal):
                    print(f"{WRONG}: {case}: refused without a word")
                continue
            for m in ROWS:
                x = torch.randn(m, k).to(dtype)
                y = layer(x)
                found = error(y, x, linear)
                if y.dtype != dtype or y.shape != (m, n) or not found <= tolerance(scheme):
                    print(f"{WRONG}: {case}, M = {m}: {y.dtype} {tuple(y.shape)}, error {found}")


def check_views() -> None:
    """Activations however they lie in memory."""
    n, k = 48, 128
    linear = random_linear(n, k)
    for way in ways(n, k):
        layer, wide = way.make(linear), torch.randn(4, 6, 2 * k).to(way.dtype)
        views = {
            "every second": wide[..., ::2],
            "backwards": wide[..., :k].flip(-1),
            "transposed": wide[0, :, :k].t().contiguous().t(),
            "one element further": wide.flatten()[1 : 1 + 2 * k].reshape(2, k),
            "one row of an odd stride": wide.flatten().as_strided((1, k), (3, 1), 5),
            "expanded rows": wide[:1, :1, :k].expand(4, 6, k),
            "an expanded feature": wide[..., :1].expand(4, 6, k),
            "many dimensions": wide[..., :k].reshape(2, 2, 1, 3, 2, k),
        }
        for name, x in views.items():
            print(f"{way.id}, {name}", flush=True)
            found = error(layer(x), x, linear)
            if not found <= tolerance(way.scheme):
                print(f"{WRONG}: {way.id}, {name}: error {found}")


def check_threads() -> None:
    """More threads than cores, in turn with one."""
    cores = os.cpu_count() or 1
    linear, x = random_linear(256, 256), torch.randn(64, 256)
    for way in ways(*linear.weight.shape):
        print(way.id, flush=True)
        layer, given = way.make(linear), x.to(way.dtype)
        torch.set_num_threads(1)
        alone = layer(given)
        for threads in (4 * cores, 1, 8 * cores + 1):
            torch.set_num_threads(threads)
            if not torch.allclose(layer(given), alone, rtol=1e-2, atol=1e-2):
                print(f"{WRONG}: {way.id} with {threads} threads")


def check_fork() -> None:
    """Use a layer, fork, and use it in the child: as a server or a DataLoader with workers does.

    OpenMP's threads do not survive a fork: where torch's own linear hangs in the child, a child
    has to set one thread, as torch's DataLoader does in its workers, and layers have to work so.
    """
    torch.set_num_threads(max(2, os.cpu_count() or 1))
    linear, x = random_linear(256, 256), torch.randn(64, 256)
    threads = torch.get_num_threads() if _works_after_fork("torch", linear, x, linear(x), 0) else 1
    print(f"after a fork, torch itself computes with {threads} threads")
    for way in ways(*linear.weight.shape):
        layer, given = way.make(linear), x.to(way.dtype)
        if not _works_after_fork(way.id, layer, given, layer(given), threads):
            print(f"{WRONG}: {way.id} does not work after a fork")


def _works_after_fork(name: str, layer: nn.Linear, x: Tensor, y: Tensor, threads: int) -> bool:
    print(f"{name} after a fork", flush=True)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_compare, args=(layer, x, y, threads))
    child.start()
    child.join(CHILD_S)
    if child.is_alive():
        child.kill()
        child.join()
    return child.exitcode == 0


def _compare(layer: nn.Linear, x: Tensor, y: Tensor, threads: int) -> None:
    if threads:
        torch.set_num_threads(threads)
    if not torch.allclose(layer(x), y, rtol=1e-4, atol=1e-4):
        sys.exit(3)


CHECKS = {
    "shapes": check_shapes,
    "views": check_views,
    "threads": check_threads,
    "fork": check_fork,
}

if __name__ == "__main__":
    torch.manual_seed(0)
    with torch.no_grad():
        CHECKS[sys.argv[1]]()
