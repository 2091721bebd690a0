"""Known faults of bitsandbytes, and of merging a LoRA into what it quantized.

Read from its sources, and PEFT's: 0.44.1 is the last that asks whether a card multiplies int8, and falls
back to float16 where it does not; it has libraries for CUDA up to 12.5. PEFT before 0.14 dequantizes by
`igemmlt`, multiplying with an identity matrix in a layout that 0.45 refuses; 0.46 removes the function. PEFT
0.14 to 0.17 dequantizes element by element with either, and is written for transformers 4; transformers 5
asks for bitsandbytes 0.46.1.
"""

from __future__ import annotations

from qprobe.doctor.rules.faults import SUITING_TORCH, Fault, Where

_ISSUE = "https://github.com/bitsandbytes-foundation/bitsandbytes/issues/1242"
_PEFT = "https://github.com/huggingface/peft/pull/2245"
_DOCS = "https://huggingface.co/docs/bitsandbytes/main/en/installation"
_GTX_16 = "https://github.com/bitsandbytes-foundation/bitsandbytes/issues/292"
_WORKFLOW = (
    "https://github.com/bitsandbytes-foundation/bitsandbytes/blob/0.44.1/.github/workflows/"
    "python-package.yml"
)
UPGRADE = 'pip install --upgrade "peft>=0.14" "bitsandbytes>=0.48" "transformers>=5"'
KEEP_FALLBACK = (
    'pip install "peft>=0.14,<0.18" "bitsandbytes>=0.44.1,<0.45" "transformers>=4.46,<5"'
)
"""A merge that needs no int8 product, beside the last bitsandbytes that needs none either."""
_MERGE = (
    'python -c "import sys, torch; from peft import AutoPeftModelForCausalLM as Model; '
    "model = Model.from_pretrained(sys.argv[1], torch_dtype=torch.float16); "
    "model.merge_and_unload().save_pretrained('merged')\" "
    '"${ADAPTER:?the folder of the LoRA}"'
)
"""Of a model as it was before quantizing; the LoRA's folder names it."""
_NF4 = (
    "transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type='nf4', "
    "bnb_4bit_compute_dtype=torch.float16)"
)
_CU124 = (
    'pip install --force-reinstall "torch==2.6.0" '
    "--index-url https://download.pytorch.org/whl/cu124"
)
"""The last for CUDA 12.4, which bitsandbytes 0.43 and 0.44 have a library for."""
_BENCH = "qprobe bench --device {device}"
_WAYS = (
    "In this order:\n(1) Upgrade PEFT, which from 0.14 on dequantizes element by element, beside "
    "bitsandbytes 0.44, whose layers fall back to float16 on this card: then both the merge and the "
    "forward pass run. Where torch is for CUDA 12.6 or later, set BNB_CUDA_VERSION=124 too. Take neither "
    "bitsandbytes 0.45 or later, which multiplies in int8 without asking the card, nor transformers 5, which "
    "wants it.\n(2) Merge into the model as it was before quantizing, in float16, with what is installed, and "
    "quantize the result.\n(3) Quantize the weights alone instead of using int8 products: "
    f"NF4 ({_NF4}), or W8A16 and W4A16 of qprobe. Measure which is fast here."
)
_WAY_COMMANDS = (KEEP_FALLBACK, _MERGE, _BENCH)
_WAY_LABELS = ("(1)", "(2)", "(3)")
_REMOVED = "merging a LoRA calls what bitsandbytes removed"
_REMOVED_DETAIL = (
    "{versions}; wanted: peft 0.14 or later. A merge into int8 weights goes through transform and "
    "igemmlt. bitsandbytes 0.45 refuses their layout (`Only row-major format inputs are supported`), 0.46 "
    "has no such functions: the merge ends in an error on every card."
)

FAULTS = (
    # Without a library nothing runs, and what is below does not show yet.
    Fault(
        id="no-library",
        where=Where({"bitsandbytes": "<0.45"}, bnb_cuda=">=12.6,<13", card=">=5.0"),
        status="fail",
        summary="it has no library for the CUDA of torch",
        detail=(
            "{versions} takes its library by BNB_CUDA_VERSION, else by the CUDA of torch; it brings libraries "
            "for 12.5 at the most, and none is loaded here. The one for 12.4 runs with any later 12."
        ),
        fix="Name the library for CUDA 12.4, or take the build of torch for it.",
        commands=(
            "export BNB_CUDA_VERSION=124",
            _CU124,
        ),
        labels=("", "or"),
        source=_WORKFLOW,
    ),
    Fault(
        id="no-library-13",
        where=Where({"bitsandbytes": "<0.48"}, bnb_cuda=">=13", card=">=7.5", has="int8"),
        status="fail",
        summary="it has no library for CUDA 13",
        detail=(
            "{versions} takes its library by BNB_CUDA_VERSION, else by the CUDA of torch: 13 here. 0.48 is the first with "
            "one for it, and none is loaded."
        ),
        fix="Upgrade it, and what goes with it.",
        commands=(UPGRADE,),
        source=_DOCS,
    ),
    Fault(
        id="no-library-13-gtx16",
        where=Where({"bitsandbytes": "<0.48"}, bnb_cuda=">=13", card="==7.5", lacks="int8"),
        status="fail",
        summary="it has no library for CUDA 13",
        detail=(
            "{versions} takes its library by BNB_CUDA_VERSION, else by the CUDA of torch: 13 here. 0.48 is the first with "
            "one for it, and has no fallback for {card} any more."
        ),
        fix="Take a torch for CUDA 12.4.",
        commands=(_CU124,),
        source=_DOCS,
    ),
    Fault(
        id="library-of-12",
        where=Where({"bitsandbytes": ""}, torch_cuda=">=13", bnb_cuda="<13", card=">=5.0"),
        status="warn",
        summary="BNB_CUDA_VERSION names a library for CUDA 12",
        detail=(
            "{versions} takes its library by BNB_CUDA_VERSION. That one needs the runtime and cuBLAS of CUDA 12; "
            "this torch brings those of CUDA 13."
        ),
        fix="Unset it, so that bitsandbytes follows torch.",
        commands=("unset BNB_CUDA_VERSION",),
        source=_DOCS,
    ),
    Fault(
        id="igemmlt",
        where=Where({"peft": "<0.14", "bitsandbytes": "<0.45"}, card="<7.5", lacks="int8"),
        status="fail",
        summary="merging a LoRA ends in `igemmlt not available`",
        detail=(
            "{versions}; wanted: peft 0.14 or later. A merge into int8 weights dequantizes them by "
            "multiplying with an identity matrix, through igemmlt: cuBLASLt's int8 product, which "
            "bitsandbytes leaves out (NO_CUBLASLT) for cards before 7.5. There are no int8 tensor cores on "
            "{card}; they are native on {native}. Forward passes do run, in float16.\n{cost}"
        ),
        fix=_WAYS,
        commands=_WAY_COMMANDS,
        labels=_WAY_LABELS,
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
            "igemmlt, cuBLASLt's int8 product. It goes by the number 7.5; there are no tensor cores at all "
            "on {card}. bitsandbytes knows GTX 1630, 1650 and 1660 by name, and their layers fall back to "
            "float16.\n{cost}"
        ),
        fix=_WAYS,
        commands=_WAY_COMMANDS,
        labels=_WAY_LABELS,
        source=_GTX_16,
        instead=("W8A16", "W4A16", "NF4"),
    ),
    Fault(
        id="igemmlt-removed-no-int8",
        where=Where({"peft": "<0.14", "bitsandbytes": ">=0.45"}, lacks="int8"),
        status="fail",
        summary=_REMOVED,
        detail=(
            f"{_REMOVED_DETAIL} Forward passes are no better off: there are no int8 tensor cores on {{card}} "
            "(they are native on {native}), and since 0.45 there is no fallback.\n{cost}"
        ),
        fix=_WAYS,
        commands=_WAY_COMMANDS,
        labels=_WAY_LABELS,
        source=_PEFT,
        instead=("W8A16", "W4A16", "NF4"),
    ),
    Fault(
        id="igemmlt-removed",
        where=Where({"peft": "<0.14", "bitsandbytes": ">=0.45"}),
        status="fail",
        summary=_REMOVED,
        detail=_REMOVED_DETAIL,
        fix="Upgrade PEFT, which from 0.14 on dequantizes element by element.",
        commands=(UPGRADE,),
        source=_PEFT,
    ),
    Fault(
        id="identity-merge",
        where=Where({"peft": "<0.14", "bitsandbytes": "<0.45"}, card=">=7.5", has="int8"),
        status="warn",
        summary="a LoRA merges only on cards like this one",
        detail=(
            "{versions}; wanted: peft 0.14 or later. A merge into int8 weights dequantizes them by "
            "multiplying with an identity matrix in int8. That works on {card}; on cards before 7.5 it does "
            "not, and bitsandbytes 0.45 no longer offers it."
        ),
        fix="Upgrade PEFT, which from 0.14 on dequantizes element by element.",
        commands=(UPGRADE,),
        source=_PEFT,
    ),
    Fault(
        id="no-fallback",
        where=Where({"bitsandbytes": ">=0.45"}, lacks="int8"),
        status="warn",
        summary="LLM.int8() has no fallback on this card",
        detail=(
            "{versions}: since 0.45 bitsandbytes calls the int8 tensor cores without asking for them. There "
            "are none on {card} (they are native on {native}), so a layer fails or crawls, by its shape. Its "
            "documentation asks for Turing or later.\n{cost}"
        ),
        fix=(
            "Quantize the weights alone: NF4 of bitsandbytes, or W8A16 and W4A16 of qprobe, which are "
            "multiplied in 16 bits. Measure before choosing."
        ),
        commands=(_BENCH,),
        source=_DOCS,
        instead=("W8A16", "W4A16", "NF4"),
    ),
    Fault(
        id="slow-int8",
        where=Where({"bitsandbytes": ""}, slow="int8"),
        status="warn",
        summary="LLM.int8() is slow on this card",
        detail=(
            "{versions} multiplies in int8, by cuBLASLt. On {card} int8 runs on the instructions of older cards "
            "(it has its full rate on {native}): torch._int_mm, which calls the same library, was seen 6 to 13 "
            "times slower than tf32 on such a chip.\n{cost}"
        ),
        fix=(
            "Quantize the weights alone: NF4 of bitsandbytes, or W8A16 and W4A16 of qprobe; or use float8 "
            "products (FP8_DYNAMIC). Measure before choosing."
        ),
        commands=(_BENCH,),
        source="https://github.com/pytorch/pytorch/issues/187094",
        instead=("W8A16", "W4A16", "NF4"),
    ),
    Fault(
        id="slow-fallback",
        where=Where({"bitsandbytes": "<0.45"}, lacks="int8"),
        status="warn",
        summary="LLM.int8() falls back to float16 on this card",
        detail=(
            "{versions}: there are no int8 tensor cores on {card}. The weights are dequantized at every "
            "call and multiplied in float16: right, in half the memory, and so slower than not quantizing. "
            "0.44.1 is the last that does so.\n{cost}"
        ),
        fix="Quantize the weights alone: NF4 of bitsandbytes, or W8A16 and W4A16 of qprobe.",
        commands=(_BENCH,),
        source=_ISSUE,
        instead=("W8A16", "W4A16", "NF4"),
    ),
    Fault(
        id="cuda13-wheel",
        where=Where({"bitsandbytes": ""}, bnb_cuda=">=13", card="<7.5"),
        status="fail",
        summary="its CUDA 13 library has no code for this card",
        detail=(
            "{versions} takes its library by BNB_CUDA_VERSION, else by the CUDA of torch: 13 here. That "
            "library is built for 7.5 and later, and so not for {card}."
        ),
        fix="Install a torch that has code for it, as PyTorch on the GPU asks for too; bitsandbytes "
        "follows it where BNB_CUDA_VERSION is not set.",
        commands=(SUITING_TORCH,),
        source=_DOCS,
    ),
    Fault(
        id="cuda128-wheel",
        where=Where({"bitsandbytes": ""}, bnb_cuda=">=12.8,<13", card="<7.0"),
        status="fail",
        summary="its CUDA 12.8 library has no code for this card",
        detail=(
            "{versions} takes its library by BNB_CUDA_VERSION, else by the CUDA of torch: 12.8 or later "
            "here. That library is built for 7.0 and later, and so not for {card}."
        ),
        fix="Install a torch for CUDA 12.6; bitsandbytes follows it where BNB_CUDA_VERSION is not set.",
        commands=(SUITING_TORCH,),
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
