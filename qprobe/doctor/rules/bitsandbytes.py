"""Known faults of bitsandbytes, and of merging a LoRA into what it quantized.

Read from its sources, and PEFT's: 0.44.1 is the last that asks whether a card multiplies int8, and falls
back to float16 where it does not. PEFT before 0.14 dequantizes by `igemmlt`, multiplying with an identity
matrix in a layout that 0.45 refuses; 0.46 removes the function.
"""

from __future__ import annotations

from qprobe.doctor.rules.faults import Fault, Where

_ISSUE = "https://github.com/bitsandbytes-foundation/bitsandbytes/issues/1242"
_PEFT = "https://github.com/huggingface/peft/pull/2245"
_DOCS = "https://huggingface.co/docs/bitsandbytes/main/en/installation"
_GTX_16 = "https://github.com/bitsandbytes-foundation/bitsandbytes/issues/292"
_UPGRADE = 'pip install --upgrade "peft>=0.14" "bitsandbytes>=0.46.1" "transformers>=5"'
_NF4 = (
    "transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type='nf4', "
    "bnb_4bit_compute_dtype=torch.float16)"
)
_PLAN = "qprobe plan --model MODEL --device cuda:0"

FAULTS = (
    Fault(
        id="igemmlt",
        where=Where({"peft": "<0.14", "bitsandbytes": "<0.45"}, card="<7.5", lacks="int8"),
        status="fail",
        summary="merging a LoRA ends in `igemmlt not available`",
        detail=(
            "{versions}; wanted: peft 0.14 or later. A merge into int8 weights dequantizes them by "
            "multiplying with an identity matrix, through igemmlt: cuBLASLt's int8 product, which "
            "bitsandbytes leaves out (NO_CUBLASLT) for cards before 7.5. {card} has no int8 tensor "
            "cores; they are native on {native}. Forward passes do run, in float16.\n{cost}"
        ),
        fix=(
            "In this order:\n(1) Upgrade PEFT, which from 0.14 on dequantizes element by element, and "
            "what goes with it. The merge then works; what remains is that bitsandbytes from 0.45 on "
            "multiplies in int8 without asking the card, so that its int8 layers fail or crawl here. "
            "\n(2) Merge into the model as it was before quantizing, in float16, and quantize the "
            "result.\n(3) Quantize the weights alone instead of using int8 products: NF4 "
            f"({_NF4}), or W8A16 and W4A16 of qprobe."
        ),
        commands=(_UPGRADE, _PLAN),
        source=_ISSUE,
        instead=("W8A16", "W4A16", "NF4"),
    ),
    Fault(
        id="igemmlt-gtx16",
        where=Where({"peft": "<0.14", "bitsandbytes": "<0.45"}, card="==7.5", lacks="int8"),
        status="fail",
        summary="merging a LoRA asks for int8 products that are not there",
        detail=(
            "{versions}; wanted: peft 0.14 or later. A merge into int8 weights multiplies through "
            "igemmlt, cuBLASLt's int8 product. bitsandbytes goes by the number 7.5 and calls it; "
            "{card} has no tensor cores at all.\n{cost}"
        ),
        fix=(
            "In this order:\n(1) Upgrade PEFT, which from 0.14 on dequantizes element by element.\n"
            "(2) Merge into the model as it was before quantizing, and quantize the result.\n(3) Quantize "
            "the weights alone: NF4, or W8A16 and W4A16 of qprobe."
        ),
        commands=(_UPGRADE, _PLAN),
        source=_GTX_16,
        instead=("W8A16", "W4A16", "NF4"),
    ),
    Fault(
        id="igemmlt-removed",
        where=Where({"peft": "<0.14", "bitsandbytes": ">=0.45"}),
        status="fail",
        summary="merging a LoRA calls what bitsandbytes removed",
        detail=(
            "{versions}; wanted: peft 0.14 or later. A merge into int8 weights goes through transform "
            "and igemmlt. bitsandbytes 0.45 refuses their layout (`Only row-major format inputs are "
            "supported`), 0.46 has no such functions: the merge ends in an error on every card."
        ),
        fix="Upgrade PEFT, which from 0.14 on dequantizes element by element.",
        commands=(_UPGRADE,),
        source=_PEFT,
    ),
    Fault(
        id="identity-merge",
        where=Where({"peft": "<0.14", "bitsandbytes": "<0.45"}, card=">=7.5"),
        status="warn",
        summary="a LoRA merges only on cards like this one",
        detail=(
            "{versions}; wanted: peft 0.14 or later. A merge into int8 weights dequantizes them by "
            "multiplying with an identity matrix in int8. {card} can do that; cards before 7.5 cannot, "
            "and bitsandbytes 0.45 no longer offers it."
        ),
        fix="Upgrade PEFT, which from 0.14 on dequantizes element by element.",
        commands=(_UPGRADE,),
        source=_PEFT,
    ),
    Fault(
        id="no-fallback",
        where=Where({"bitsandbytes": ">=0.45"}, lacks="int8"),
        status="warn",
        summary="LLM.int8() has no fallback on this card",
        detail=(
            "{versions}: since 0.45 bitsandbytes calls the int8 tensor cores without asking for them; "
            "{card} has none (they are native on {native}), so a layer fails or crawls, by its shape. Its documentation asks for "
            "Turing or later.\n{cost}"
        ),
        fix=(
            "Quantize the weights alone: NF4 of bitsandbytes, or W8A16 and W4A16 of qprobe, which are "
            "multiplied in 16 bits. Measure before choosing."
        ),
        commands=("qprobe bench --device cuda:0",),
        source=_DOCS,
        instead=("W8A16", "W4A16", "NF4"),
    ),
    Fault(
        id="slow-fallback",
        where=Where({"bitsandbytes": "<0.45"}, lacks="int8"),
        status="warn",
        summary="LLM.int8() falls back to float16 on this card",
        detail=(
            "{versions}: {card} has no int8 tensor cores. The weights are dequantized at every call "
            "and multiplied in float16: right, in half the memory, and so slower than not quantizing. "
            "0.44.1 is the last that does so.\n{cost}"
        ),
        fix="Quantize the weights alone: NF4 of bitsandbytes, or W8A16 and W4A16 of qprobe.",
        commands=("qprobe bench --device cuda:0",),
        source=_ISSUE,
        instead=("W8A16", "W4A16", "NF4"),
    ),
    Fault(
        id="cuda13-wheel",
        where=Where({"bitsandbytes": ""}, torch_cuda=">=13", card="<7.5"),
        status="fail",
        summary="its CUDA 13 library has no code for this card",
        detail=(
            "{versions} takes its library by the CUDA of torch, which is 13 here; that library is "
            "built for 7.5 and later, and {card} is older."
        ),
        fix="Install a torch for CUDA 12, and bitsandbytes follows.",
        commands=(
            'pip install --force-reinstall "torch>=2.6,<2.15" '
            "--index-url https://download.pytorch.org/whl/cu126",
        ),
        source=_DOCS,
    ),
    Fault(
        id="cuda128-wheel",
        where=Where({"bitsandbytes": ""}, torch_cuda=">=12.8,<13", card="<7.0"),
        status="fail",
        summary="its CUDA 12.8 library has no code for this card",
        detail=(
            "{versions} takes its library by the CUDA of torch, which is 12.8 or later here; that "
            "library is built for 7.0 and later, and {card} is older."
        ),
        fix="Install a torch for CUDA 12.6, and bitsandbytes follows.",
        commands=(
            'pip install --force-reinstall "torch>=2.6,<2.15" '
            "--index-url https://download.pytorch.org/whl/cu126",
        ),
        source=_DOCS,
    ),
    Fault(
        id="nf4-merge-on-cpu",
        where=Where({"bitsandbytes": ">=0.46", "peft": ">=0.14"}, without_gpu=True),
        status="warn",
        summary="on a CPU, merge into NF4 only before use",
        detail=(
            "{versions}: on a CPU the first forward pass repacks NF4 weights in place, and PEFT then "
            "merges into bytes that it misreads, silently (seen with 0.50.2 and PEFT 0.21.2)."
        ),
        fix="Merge before the first forward pass, or merge into unquantized weights.",
        commands=(),
        source="https://github.com/huggingface/peft/blob/main/src/peft/tuners/lora/bnb.py",
    ),
)
"""Of those that a machine has, what fails comes first; then the order here counts."""
