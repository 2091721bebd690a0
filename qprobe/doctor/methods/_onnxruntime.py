"""What the methods of ONNX Runtime share: a model of one node of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

NEEDS = ("torch", "onnxruntime|onnxruntime-gpu", "onnx")
INSTALL = "onnxruntime onnx"
OPSET, CONTRIB_OPSET, IR_VERSION = 17, 1, 8
ERRORS_ONLY = 3


def load_onnxruntime() -> None:
    """Import the runtime, and the package that writes models for it."""
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401


@cache
def _runtime() -> Any:
    """The package, its threads shared by all layers as by those of one model.

    With threads of its own each would have to wake them: those of the one that ran before do not help it.
    """
    import onnxruntime
    import torch

    onnxruntime.set_global_thread_pool_sizes(torch.get_num_threads(), 1)
    return onnxruntime


def session(
    operator: str,
    names: list[str],
    tensors: Mapping[str, Tensor],
    linear: nn.Linear,
    attributes: dict[str, Any],
) -> Callable[[Tensor], Tensor]:
    """What runs one node on the processor, with as many threads as torch."""
    import torch
    from onnx import TensorProto, helper, numpy_helper

    node = helper.make_node(operator, names, ["y"], domain="com.microsoft", **attributes)
    graph = helper.make_graph(
        [node],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["m", linear.in_features])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["m", linear.out_features])],
        [numpy_helper.from_array(tensor.numpy(), name) for name, tensor in tensors.items()],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", CONTRIB_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.use_per_session_threads = False
    options.log_severity_level = ERRORS_ONLY
    run = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda x: torch.from_numpy(run.run(None, {"x": x.numpy()})[0])
