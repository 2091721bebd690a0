"""A LoRA merged by PEFT into a layer of bitsandbytes: does its output stay what it was?"""

from __future__ import annotations

import torch
from torch import nn

from tests.bench.by_hand.bitsandbytes import HANDS

MERGES = {"peft-merge-int8": "bitsandbytes-int8", "peft-merge-nf4": "bitsandbytes-nf4"}
ROWS = 16


def merge_error(method: str, linear: nn.Linear, dtype: torch.dtype, *, is_used: bool) -> float:
    """‖merged − unmerged‖ / ‖unmerged‖ of one layer, which has perhaps been run before the merge."""
    from peft import LoraConfig, get_peft_model

    def adapted() -> nn.Module:
        model = nn.Sequential(HANDS[MERGES[method]].make(linear, dtype))
        setattr(model, "is_loaded_in_8bit" if "int8" in method else "is_loaded_in_4bit", True)
        found = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=["0"])).eval()
        torch.manual_seed(4)
        for name, parameter in found.named_parameters():
            if "lora_" in name:
                nn.init.normal_(
                    parameter, std=0.3 if "lora_B" in name else linear.in_features**-0.5
                )
        return found

    x = torch.randn(ROWS, linear.in_features).to(dtype)
    before = adapted()(x).float()
    model = adapted()
    if is_used:
        model(x)
    after = model.merge_and_unload()(x).float()
    return float((after - before).norm() / before.norm())
