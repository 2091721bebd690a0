"""What the planned layers share: canonical storage outside, one packing inside, a kernel for each M."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.compiler import is_compiling

from qprobe.documents.plan import KernelRange
from qprobe.documents.scheme import Scheme
from qprobe.errors import PlanMismatchError, UnavailableError
from qprobe.kernels._kernel import Kernel, LayerSpec
from qprobe.kernels.cuda._products import Launched
from qprobe.kernels.ops import QUANTIZE_TOKENS, STORED_PRODUCT
from qprobe.kernels.reference import KERNEL as REFERENCE
from qprobe.kernels.registry import get_kernel
from qprobe.layers._bound import Bound
from qprobe.layers._refusals import refuse_bias, refuse_input
from qprobe.layers._watched import carries_tangents, is_exported, is_traced, unwatched
from qprobe.quantize.scheme import canonical_names, dequantize_weight, shape_of

logger = logging.getLogger("qprobe")


class PlannedLinear(nn.Linear):
    """y = x · Wᵀ + b from a packed weight, by the kernel that was planned for the number of rows.

    `state_dict` holds the canonical tensors under compressed-tensors' names, whatever the packing;
    the packed weight is rebuilt after loading, copying and moving. The weight is frozen, the input
    and the bias get gradients.
    """

    schemes: ClassVar[frozenset[str]] = frozenset()
    """The names of the schemes that this class of layers stores."""
    operator: ClassVar[Any]
    """The operator that torch sees when it traces or differentiates."""

    def __init__(
        self,
        tensors: dict[str, Tensor],
        bias: Tensor | None,
        *,
        scheme: Scheme,
        algorithm: str,
        kernels: Sequence[KernelRange],
        compute_dtype: torch.dtype,
    ) -> None:
        """Take the canonical tensors of a weight (N, K) and pack them for the kernels.

        Raises PlanMismatchError where a kernel cannot compute the layer here or where the kernels
        do not share one packing.
        """
        nn.Module.__init__(self)
        self.out_features, self.in_features = shape_of(tensors)
        self.scheme, self.algorithm = scheme, algorithm
        self.compute_dtype = compute_dtype
        self.planned = self.ranges = tuple(kernels)
        frozen = None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)
        self.register_parameter("bias", frozen)
        self._canonical: dict[str, Tensor] | None = {k: v.detach() for k, v in tensors.items()}
        self._device = _first(tensors).device
        self._pack()

    @property
    def spec(self) -> LayerSpec:
        """What kernels need to know of this layer."""
        return LayerSpec(
            self.scheme.name,
            self.out_features,
            self.in_features,
            self.compute_dtype,
            self.scheme.algorithms[self.algorithm],
            str(self._device),
        )

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The stored weight (N, K), or the bytes of its codes as int8. Unpacked at each access.

        Models and adapters cast what they compute to the type of a weight, unless that is int8.
        """
        stored = _first(self.canonical())
        return stored.view(torch.int8) if self.scheme.is_quantized else stored

    def canonical(self) -> dict[str, Tensor]:
        """The canonical tensors, without the bias."""
        if self._canonical is not None:
            return self._canonical
        return self._dispatch[0][1].unpack(self._packed, self.spec)

    def dequantize(self, dtype: torch.dtype | None = None) -> Tensor:
        """The weight (N, K) as the layer multiplies it, in `dtype` or the compute dtype."""
        return dequantize_weight(self.canonical(), self.scheme, dtype or self.compute_dtype)

    def stored_bytes(self) -> int:
        """Bytes that the layer holds: its packing, or the canonical tensors, and the bias."""
        held = list((self._canonical or {}).values()) or list(self._packed)
        if self.bias is not None:
            held.append(self.bias)
        return sum(tensor.numel() * tensor.element_size() for tensor in held)

    def _pack_or_fall_back(self) -> None:
        """Pack for the planned kernels, or for the reference where those cannot compute the layer any more."""
        self.ranges = self.planned
        try:
            self._pack()
        except (PlanMismatchError, UnavailableError) as error:
            logger.warning("a layer falls back to the reference kernel: %s", error)
            self.ranges = (KernelRange(kernel=REFERENCE.id, m_min=1, m_max=None),)
            self._pack()

    def _pack(self) -> None:
        """Pack the canonical tensors and let go of them; on meta there is nothing to pack."""
        tensors = self._canonical
        if tensors is None:
            return
        kernels = tuple(get_kernel(item.kernel) for item in self.ranges)
        packings = {kernel.packing for kernel in kernels}
        if len(packings) != 1:
            raise PlanMismatchError(
                f"kernels {', '.join(k.id for k in kernels)} do not share one packing", "re-plan"
            )
        self._device = _first(tensors).device
        if self._device.type == "meta":
            self._dispatch: tuple[tuple[int | None, Kernel], ...] = ((None, REFERENCE),)
            self._hold(tuple(tensors.values()))
            return
        for kernel in kernels:
            if words := kernel.objection(self.spec) or kernel.clips(_first(tensors)):
                raise PlanMismatchError(
                    f"{kernel.id} cannot compute this layer: {words}", "re-plan"
                )
        self._dispatch = tuple(
            (item.m_max, kernel) for item, kernel in zip(self.ranges, kernels, strict=True)
        )
        try:
            self._hold(tuple(kernels[0].pack(tensors, self.spec)))
        except torch.OutOfMemoryError as error:
            raise UnavailableError(
                f"no memory on {self._device} to pack a weight of {self.out_features} × "
                f"{self.in_features} for {kernels[0].id}: {str(error).partition('.')[0]}",
                "free memory of the device, or plan for less with --memory",
            ) from error
        for kernel in kernels:
            kernel.warm_up(self.spec)
        self._canonical = None

    def _hold(self, packed: tuple[Tensor, ...]) -> None:
        """Have this packing for these kernels; what was bound to the former serves no more."""
        self._is_launched = any(isinstance(kernel.run, Launched) for _, kernel in self._dispatch)
        self._packed, self._bound = packed, Bound()

    def _select(self, x: Tensor) -> Kernel:
        """The kernel for the rows of x (…, K); refuses what no kernel may see."""
        self._check(x)
        dispatch = self._dispatch
        if len(dispatch) > 1:
            rows = x.numel() // self.in_features
            for m_max, kernel in dispatch:
                if m_max is None or rows <= m_max:
                    return kernel
        return dispatch[0][1]

    def _check(self, x: Tensor) -> None:
        shape = x.shape
        is_right = shape and shape[-1] == self.in_features and x.device == self._device
        if not (is_right and x.is_floating_point()):
            raise refuse_input(x, self.in_features, self._device)
        bias = self._parameters["bias"]
        # Kernels get its address.
        if bias is not None and (bias.numel() != self.out_features or bias.device != x.device):
            raise refuse_bias(bias, self.out_features, x.device)

    def _replicate_for_data_parallel(self) -> NoReturn:
        """What `nn.DataParallel` calls: its replicas would share what is packed for one device."""
        raise UnavailableError(
            f"nn.DataParallel cannot copy {type(self).__name__} to other devices at each call",
            "run one process a GPU, or show the process one: CUDA_VISIBLE_DEVICES=0",
        )

    def _traced(self, x: Tensor) -> Tensor:
        """The same by `operator`, which is what torch sees when it traces or differentiates."""
        tangent = None
        if carries_tangents():
            x, tangent = forward_ad.unpack_dual(x)
        kernel, packed = self._operands(x)
        codes = scale = None
        if kernel.input != "float":
            # The gradient goes straight through, by way of x.
            codes, scale = QUANTIZE_TOKENS(x.detach(), kernel.input)
        scheme, n, k = self.scheme.name, self.out_features, self.in_features
        y: Tensor = self.operator(x, codes, scale, packed, self.bias, scheme, n, kernel.id)
        if tangent is None:
            return y
        turned = STORED_PRODUCT(tangent, packed, scheme, n, k, kernel.id, True)
        return forward_ad.make_dual(y, turned)  # type: ignore[no-any-return]

    def _operands(self, x: Tensor) -> tuple[Kernel, Sequence[Tensor]]:
        """Kernel and packed weight, portable ones for any number of rows where the graph may leave the process.

        A trace of torch.jit keeps what is launched on a card: its packings are tensors like any other.
        """
        may_leave = is_exported() or not (is_compiling() or self._is_launched or not is_traced())
        if not may_leave:
            return self._select(x), self._packed
        self._check(x)
        with unwatched():
            tensors = self.canonical()
        return REFERENCE, REFERENCE.pack(tensors, self.spec)

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name, tensor in self.canonical().items():
            destination[prefix + name] = tensor

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        names = canonical_names(self.scheme)
        ours = {name: state_dict[prefix + name] for name in names if prefix + name in state_dict}
        missing_keys.extend(prefix + name for name in names if name not in ours)
        expected = self.canonical()
        for name, tensor in ours.items():
            want = expected[name]
            if (tensor.shape, tensor.dtype) != (want.shape, want.dtype):
                error_msgs.append(
                    f"{prefix}{name} is {tensor.dtype} {tuple(tensor.shape)}, the layer holds "
                    f"{want.dtype} {tuple(want.shape)}"
                )
        if len(ours) == len(names) and not error_msgs:
            assign = local_metadata.get("assign_to_params_buffers", False)
            device = _first(expected).device
            self._canonical = {
                name: tensor.detach() if assign else tensor.detach().to(device, copy=True)
                for name, tensor in ours.items()
            }
            self._pack_or_fall_back()
        rest = {key: value for key, value in state_dict.items() if key[len(prefix) :] not in ours}
        super()._load_from_state_dict(
            rest, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PlannedLinear:
        """Move or cast: storage follows the scheme's own types, the packing is made anew."""
        # Where memory runs out here, nothing has changed yet.
        moved = {name: self._moved(tensor, fn) for name, tensor in self.canonical().items()}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.compute_dtype = fn(torch.empty(0, dtype=self.compute_dtype, device="cpu")).dtype
        self._canonical = moved
        self._pack_or_fall_back()
        return self

    def _moved(self, tensor: Tensor, fn: Callable[[Tensor], Tensor]) -> Tensor:
        """A canonical tensor where `fn` sends tensors; only the values of NONE may change type."""
        if self.scheme.weights is None:
            return fn(tensor)
        device = fn(torch.empty(0, dtype=tensor.dtype, device=tensor.device)).device
        if tensor.is_meta and device.type != "meta":
            return torch.empty_like(tensor, device=device)
        return tensor.to(device)

    def __getstate__(self) -> dict[str, Any]:
        """Canonical tensors travel; the packing and what is bound to it stay."""
        stays = {"_packed": (), "_dispatch": (), "_bound": None}
        return self.__dict__ | stays | {"_canonical": self.canonical()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._pack_or_fall_back()

    def extra_repr(self) -> str:
        """What print(module) shows."""
        kernels = ", ".join(item.kernel for item in self.ranges)
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, scheme={self.scheme.name}, kernels=({kernels})"
        )


def _first(tensors: dict[str, Tensor]) -> Tensor:
    """The tensor that holds the weight."""
    return next(iter(tensors.values()))
