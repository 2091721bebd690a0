"""The models and requests of the comparison, and requests timed in turn."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor, nn

from qprobe.checkpoint.request import time_request
from qprobe.checkpoint.text import read_text, token_batch, tokenize
from qprobe.documents.objective import ErrorLimit, Objective
from qprobe.timing.cache import cache_folder
from qprobe.timing.interleave import Task
from qprobe.timing.yardstick import make_yardstick

REQUESTS = ((1, 32, 64), (8, 128, 0), (32, 128, 0))
"""Batch, prompt, generated tokens; an encoder generates none."""
DECODING = (1, 64, 32)
"""For what generates: the rate of decoding at batch 1, and a prompt of 64 tokens."""
LLAMA_SIZES = {
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "vocab_size": 8192,
    "tie_word_embeddings": False,
}
CHECKED = (8, 64)
"""Sequences and tokens that errors are measured on, as `qprobe verify` does."""
MIN_ROUNDS, MAX_ROUNDS = 7, 41
DOMINATED, DOMINATED_ROUNDS = 4.0, 2
"""What takes this many times as long as the fastest is run this often only."""
SHORT_S = 0.1
"""Requests this short are run once before each sample: another model has just used the caches."""
Timed = dict[str, list[tuple[float, float]]]
"""Variant → seconds of (prefill, decoding) by round."""


@dataclass(frozen=True)
class BenchModel:
    """A checkpoint that is measured end to end."""

    name: str
    folder: Path
    generates: bool
    max_error: float | None = None
    """None: the default limit."""

    def objectives(self) -> list[Objective]:
        """The requests that it is planned for."""
        wanted = [(b, p, g if self.generates else 0) for b, p, g in REQUESTS]
        wanted += [DECODING] if self.generates else []
        limit = (
            ErrorLimit() if self.max_error is None else ErrorLimit(value=self.max_error, hard=True)
        )
        return [
            Objective(batch=batch, prompt=prompt, generate=generate, error_limit=limit)
            for batch, prompt, generate in wanted
        ]


def bench_models(scratch: Path) -> list[BenchModel]:
    """MiniLM, the trained Llama and the random one, which is written under `scratch`."""
    from tests.checkpoints import minilm
    from tests.generator import generator

    return [
        BenchModel("MiniLM", minilm(), generates=False),
        BenchModel("trained Llama", generator(), generates=True),
        # Random weights have no accuracy to lose: every scheme may show its speed.
        BenchModel("random Llama", _random_llama(scratch), generates=True, max_error=1.0),
    ]


@contextmanager
def fresh_profiles() -> Iterator[None]:
    """Within, what a plan needs is measured anew; whatever else is cached stays."""
    kinds = cache_folder("profile").parent
    (kinds / "sensitivity").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds.iterdir():
            if kind.name != "profile":
                (Path(folder) / kind.name).symlink_to(kind.resolve())
        with patch.dict(os.environ, {"QPROBE_CACHE": folder}):
            yield


def draw_ids(vocabulary: int, batch: int, prompt: int) -> Tensor:
    """Random tokens, (batch, prompt) int64, the same in every process."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, vocabulary, (batch, prompt), generator=generator)


def read_ids(folder: Path, vocabulary: int) -> Tensor:
    """Tokens of a text that no plan was calibrated on, int64: what errors are measured on."""
    tokens = tokenize(read_text(None, held_out=True), folder, vocabulary)
    return token_batch(tokens, *CHECKED)


def time_in_turn(
    modules: Mapping[str, nn.Module],
    ids: Tensor,
    generate: int,
    budget_s: float,
    ask: Callable[[], object],
) -> tuple[Timed, float]:
    """Run the request through each model in rounds; also gives the seconds of the yardstick.

    `ask` is called in each round.
    """
    with torch.no_grad():
        first = {name: sum(time_request(m, ids, generate)) for name, m in modules.items()}
        taken: Timed = {name: [] for name in modules}
        order, yardsticks, yardstick = list(modules), [], make_yardstick()
        start = time.perf_counter()
        for number in range(MAX_ROUNDS):
            if number >= MIN_ROUNDS and time.perf_counter() - start > budget_s:
                break
            shift = number % len(order)
            for name in order[shift:] + order[:shift]:
                if first[name] > DOMINATED * min(first.values()) and number >= DOMINATED_ROUNDS:
                    continue
                if first[name] < SHORT_S:
                    time_request(modules[name], ids, generate)
                taken[name].append(time_request(modules[name], ids, generate))
            yardsticks.append(_yardstick_s(yardstick))
            ask()
    return taken, statistics.median(yardsticks)


def _yardstick_s(yardstick: Task) -> float:
    """One sample of it, as `time_interleaved` takes them in turn with others: more would run hot."""
    yardstick.run(0)
    calls, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < yardstick.shortest_s:
        yardstick.run(calls)
        calls += 1
    return seconds / calls


def _random_llama(scratch: Path) -> Path:
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA_SIZES))
    module.save_pretrained(scratch / "random-llama")
    return scratch / "random-llama"
