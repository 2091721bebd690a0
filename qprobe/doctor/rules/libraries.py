"""Known faults of the other libraries, by version and card."""

from __future__ import annotations

from qprobe.doctor.rules.faults import Fault, Where

FAULTS = (
    Fault(
        id="torchao-int4",
        where=Where({"torchao": ""}, card="<8.0"),
        status="warn",
        summary="torchao's int4 and float8 do not run on this card",
        detail=(
            "{versions}: its int4 weight-only kernel needs 8.0, its float8 8.9, and its int8 goes "
            "through torch._int_mm, which has tensor cores for it from 7.5 on. On {card} they miss what they "
            "need.\n{cost}"
        ),
        fix="Use W4A16 or W8A16 of qprobe, or NF4 of bitsandbytes.",
        commands=("qprobe bench --device {device}",),
        source="https://github.com/pytorch/ao/blob/main/docs/source/workflows/inference.md",
        instead=("W8A16", "W4A16"),
    ),
    Fault(
        id="torchao-slow-int8",
        where=Where({"torchao": ""}, slow="int8"),
        status="warn",
        summary="torchao's int8 products are slow on this card",
        detail=(
            "{versions}: its int8 activations are multiplied by torch._int_mm. On {card} int8 runs on the "
            "instructions of older cards (it has its full rate on {native}), and was seen 6 to 13 times slower "
            "than tf32."
        ),
        fix="Use its float8, or weights alone in few bits.",
        commands=("qprobe bench --device {device}",),
        source="https://github.com/pytorch/pytorch/issues/187094",
    ),
    Fault(
        id="triton-without-tensor-cores",
        where=Where({"triton": ">=3.3", "gemlite": ""}, card="<8.0"),
        status="warn",
        summary="Triton uses no tensor cores on this card",
        detail=(
            "{versions}: since 3.3 Triton's products on cards before 8.0 run on the plain cores. "
            "Kernels that are written in it, as GemLite's and torch.compile's are, are slow on {card}, "
            "or fail."
        ),
        fix="Prefer methods with CUDA kernels of their own: qprobe, bitsandbytes' 4 bits.",
        commands=("qprobe bench --device {device}",),
        source="https://github.com/triton-lang/triton/issues/5066",
    ),
    Fault(
        id="vllm-pascal",
        where=Where({"vllm": ""}, card="<7.0"),
        status="warn",
        summary="vLLM is not for cards before 7.0",
        detail=(
            "{versions}: GPTQ, bitsandbytes and compressed-tensors want 7.0, AWQ, Marlin and int8 7.5. On {card} "
            "vLLM says so only when it loads the model.\n{cost}"
        ),
        fix="Serve from another card, or run the model by transformers with W8A16 or W4A16 of qprobe.",
        commands=("qprobe bench --device {device}",),
        source="https://docs.vllm.ai/en/latest/features/quantization/#supported-hardware",
        instead=("W8A16", "W4A16"),
    ),
    Fault(
        id="vllm-w4a16-volta",
        where=Where({"vllm": ""}, card=">=7.0,<7.5"),
        status="warn",
        summary="vLLM refuses most quantized models on this card",
        detail=(
            "{versions}: AWQ, Marlin and int8 want 7.5, compressed-tensors' W4A16 wants 8.0; GPTQ runs "
            "on 7.0, bitsandbytes too. On {card} vLLM says so only when it loads the model."
        ),
        fix="Serve GPTQ or bitsandbytes checkpoints there, or another card.",
        commands=(),
        source="https://github.com/vllm-project/llm-compressor/issues/1258",
    ),
    Fault(
        id="two-pynvml",
        where=Where({"pynvml": "<12", "nvidia-ml-py": ""}),
        status="warn",
        summary="two packages install `pynvml`",
        detail=(
            "{versions}: the old one is a folder, the other a file, and of the two Python imports the folder, "
            "whichever was installed last. It lacks what newer drivers tell."
        ),
        fix="Remove the old one.",
        commands=("pip uninstall -y pynvml", "pip install --force-reinstall nvidia-ml-py"),
        source="https://pypi.org/project/pynvml/",
    ),
    Fault(
        id="two-onnxruntimes",
        where=Where({"onnxruntime": "", "onnxruntime-gpu": ""}),
        status="warn",
        summary="two ONNX Runtimes overwrite each other",
        detail="{versions} install into the same folder; the GPU may be missing from what is left.",
        fix="Keep the one for the GPU, which has the CPU too.",
        commands=(
            "pip uninstall -y onnxruntime onnxruntime-gpu",
            "pip install onnxruntime-gpu",
        ),
        source="https://github.com/microsoft/onnxruntime/issues/10685",
    ),
)
"""Of those that a machine has, what fails comes first; then the order here counts."""
