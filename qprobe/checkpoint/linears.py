"""What counts as a linear in a live module, and its sizes."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

READS_WEIGHTS = (nn.MultiheadAttention, nn.TransformerEncoderLayer)
"""Modules of torch that compute with the weights of their linears without calling them."""


def named_linears(
    module: nn.Module, *, remove_duplicate: bool = True
) -> Iterator[tuple[str, nn.Module]]:
    """Path and module of every linear that another layer can stand in for."""
    closed: set[str] = set()
    for path, child in module.named_modules(remove_duplicate=remove_duplicate):
        if isinstance(child, READS_WEIGHTS):
            closed.add(path)
        elif is_linear(child) and (not path or path.rpartition(".")[0] not in closed):
            yield path, child


def is_linear(module: nn.Module) -> bool:
    """Whether it computes y = x · Wᵀ + b: an `nn.Linear`, or the `Conv1D` of transformers.

    A subclass that computes something else does not, nor does one whose weight is computed from
    other tensors at each call. One that is quantized already counts: it is refused later, by name.
    """
    return is_transposed(module) or (isinstance(module, nn.Linear) and _is_plain(module))


def _is_plain(linear: nn.Linear) -> bool:
    if hasattr(linear, "compute_dtype"):
        return True
    weight = linear._parameters.get("weight")
    if weight is None:
        return False
    return type(linear).forward is nn.Linear.forward or not weight.is_floating_point()


def is_transposed(module: nn.Module) -> bool:
    """Whether it is transformers' `Conv1D`, which holds its weight as (K, N).

    It is known by its name, so that transformers need not be there.
    """
    weight = module._parameters.get("weight")
    return type(module).__name__ == "Conv1D" and weight is not None and weight.ndim == 2


def linear_shape(module: nn.Module) -> tuple[int, int]:
    """(N, K), without asking for the weight where the module says its sizes."""
    if isinstance(module, nn.Linear):
        return module.out_features, module.in_features
    k, n = module.get_parameter("weight").shape
    return n, k
