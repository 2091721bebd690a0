"""A LoRA merged by PEFT into weights of bitsandbytes' LLM.int8()."""

from __future__ import annotations

from qprobe.doctor._merge import Merge
from qprobe.doctor._method import Method
from qprobe.doctor.methods._bitsandbytes import FAULTS, make_int8
from qprobe.doctor.methods._peft import NEEDS, load_peft
from qprobe.doctor.rules.bitsandbytes import KEEP_FALLBACK, UPGRADE
from qprobe.documents.finding import Fix

METHOD = Method(
    id="peft-merge-int8",
    title="PEFT, LoRA merged into bitsandbytes int8",
    bits=8,
    family="a LoRA merged into quantized weights",
    script=Merge(
        package="peft and bitsandbytes",
        load=load_peft,
        make=make_int8,
        flag="is_loaded_in_8bit",
        limit=0.08,
    ),
    needs=NEEDS,
    faults=FAULTS | {"igemmlt": "broken", "igemmlt-gtx16": "broken", "igemmlt-removed": "broken"},
    cure=Fix(
        text="In this order: (1) Where the card has no int8 tensor cores (before 7.5, GTX 16xx), PEFT "
        "0.14 to 0.17 beside bitsandbytes 0.44, which falls back to float16; elsewhere upgrade both. "
        "(2) Merge into the unquantized model, and quantize the result.",
        commands=(KEEP_FALLBACK, UPGRADE),
        labels=("(1) before 7.5", "(1) elsewhere"),
        link="https://github.com/bitsandbytes-foundation/bitsandbytes/issues/1242",
    ),
)
