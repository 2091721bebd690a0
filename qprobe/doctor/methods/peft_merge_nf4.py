"""A LoRA merged by PEFT into weights of bitsandbytes' NF4, before any forward pass and after one."""

from __future__ import annotations

from functools import partial

from qprobe.doctor._merge import Merge
from qprobe.doctor._method import Method
from qprobe.doctor.methods._bitsandbytes import FAULTS, make_4bit
from qprobe.doctor.methods._peft import NEEDS, load_peft
from qprobe.documents.finding import Fix

METHOD = Method(
    id="peft-merge-nf4",
    title="PEFT, LoRA merged into bitsandbytes NF4",
    bits=4,
    family="a LoRA merged into quantized weights",
    script=Merge(
        package="peft and bitsandbytes",
        load=load_peft,
        make=partial(make_4bit, "nf4"),
        flag="is_loaded_in_4bit",
        limit=0.3,
    ),
    needs=NEEDS,
    faults=FAULTS | {"nf4-merge-on-cpu": "broken"},
    cure=Fix(
        text="On a processor, the first forward pass in eval mode repacks NF4 weights in place, and the "
        "merge misreads them, with no error. Merge before the first forward pass; or call "
        "model.state_dict() right before the merge, which unpacks them; or merge into the "
        "unquantized model and quantize the result.",
    ),
)
