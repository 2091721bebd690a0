"""The experts of one layer as linears of their own, so that each can be planned."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class Experts(nn.Module):
    """What the fused experts of transformers compute, expert by expert.

    `gate_up` has one list of linears for gate and up together, or one for each; `down` is a list.
    """

    def __init__(
        self,
        gate_up: Sequence[Sequence[nn.Linear]],
        down: Sequence[nn.Linear],
        act_fn: Callable[[Tensor], Tensor],
    ) -> None:
        """Take the linears of every expert, in the order of their numbers."""
        super().__init__()
        self.gate_up = nn.ModuleList(nn.ModuleList(part) for part in gate_up)
        self.down = nn.ModuleList(down)
        self.act_fn = act_fn

    def forward(self, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        """Mix the experts that each token goes to.

        hidden_states: (tokens, K); top_k_index, top_k_weights: (tokens, top_k), the numbers of the
        experts and how much each counts. Numbers beyond the last expert count for nothing.
        """
        mixed = torch.zeros_like(hidden_states)
        for expert in top_k_index.unique().tolist():
            if expert >= len(self.down):
                continue
            token, position = torch.where(top_k_index == expert)
            y = self._compute(expert, hidden_states[token])
            y = y * top_k_weights[token, position, None]
            mixed.index_add_(0, token, y.to(mixed.dtype))
        return mixed

    def _compute(self, expert: int, x: Tensor) -> Tensor:
        """One expert: x (M, K) to y (M, K)."""
        parts = [linears[expert](x) for linears in self.gate_up]  # type: ignore[index]
        gate, up = parts if len(parts) == 2 else parts[0].chunk(2, dim=-1)
        y: Tensor = self.down[expert](self.act_fn(gate) * up)
        return y
