"""A trained language model to try things on: bytes of the standard library's docstrings, four layers.

`python -m tests.generator` prints the directory of its checkpoint. It is trained once for each
version of Python, torch and this file, and kept in the user's cache folder or under
$QPROBE_TEST_CACHE. Perplexity and divergence mean something on it, as they do not on random weights.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import math
import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import torch
from torch import Tensor
from torch.nn import functional

from tests.checkpoints import import_transformers

VOCABULARY = 256
"""A token is a byte: what qprobe makes of a text where there is no tokenizer.json."""
TRAINING, HELD_OUT = "training.txt", "held_out.txt"
HELD_OUT_MODULES = frozenset(
    {"argparse", "difflib", "heapq", "json", "pathlib", "statistics", "tarfile", "textwrap"}
)
SKIPPED_PARTS = frozenset({"site-packages", "test", "tests", "idle_test"})

CONFIG = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
    "initializer_range": 0.08,
    # Every byte is text: generation ends where it is told to.
    "bos_token_id": None,
    "eos_token_id": None,
}
STEPS, BATCH, LENGTH = 1400, 4, 128
PEAK_RATE, WARM_UP = 2e-3, 50


def generator() -> Path:
    """The directory of the checkpoint, in Hugging Face layout, with its two texts beside it."""
    directory = _cache_folder() / f"generator-{_key()}"
    if directory.is_dir():
        return directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix="making-") as folder:
        made = Path(folder) / "generator"
        _make(made)
        try:
            made.rename(directory)
        except OSError:
            if not directory.is_dir():
                raise
            # Another process was faster.
    return directory


def windows(text: str, length: int = LENGTH) -> Tensor:
    """All of the text as consecutive windows of byte tokens: (n, length) int64."""
    ids = torch.tensor(list(text.encode()), dtype=torch.int64)
    return ids[: len(ids) // length * length].reshape(-1, length)


def collect_texts() -> tuple[str, str]:
    """The docstrings to train on, and those of the modules that are held out."""
    texts: dict[bool, list[str]] = {False: [], True: []}
    for top, path in _modules():
        texts[top in HELD_OUT_MODULES] += _docstrings(path)
    training, held_out = ("\n\n".join(texts[is_held_out]) for is_held_out in (False, True))
    return training, held_out


def _cache_folder() -> Path:
    chosen = os.environ.get("QPROBE_TEST_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("qprobe-tests")


def _key() -> str:
    versions = f"{sys.version}\0{torch.__version__}\0".encode()
    return hashlib.sha256(versions + Path(__file__).read_bytes()).hexdigest()[:16]


def _modules() -> Iterator[tuple[str, Path]]:
    """Every module of the standard library, with the name of its top level, sorted by path."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if not SKIPPED_PARTS.intersection(parts):
            yield parts[0].removesuffix(".py"), path


def _docstrings(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return  # Templates and what is written for another version.
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            yield text


def _make(directory: Path) -> None:
    """Train and write the checkpoint and the texts."""
    transformers = import_transformers()
    training, held_out = collect_texts()
    with torch.random.fork_rng(), _one_thread():
        torch.manual_seed(0)
        module = transformers.LlamaForCausalLM(transformers.LlamaConfig(**CONFIG))
        _train(module, training)
    module.save_pretrained(directory)
    (directory / TRAINING).write_text(training, encoding="utf-8")
    (directory / HELD_OUT).write_text(held_out, encoding="utf-8")


def _train(module: torch.nn.Module, text: str) -> None:
    ids = torch.tensor(list(text.encode()), dtype=torch.int64)
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=PEAK_RATE, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _rate)
    offsets = torch.arange(LENGTH + 1)
    module.train()
    for _ in range(STEPS):
        starts = torch.randint(len(ids) - LENGTH, (BATCH, 1))
        batch = ids[starts + offsets]
        logits = module(input_ids=batch[:, :-1], use_cache=False).logits
        loss = functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    module.eval()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Steps are so small that threads, on a machine with other work, wait longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _rate(step: int) -> float:
    """A short rise, then half a cosine down to nothing."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (step - WARM_UP) / (STEPS - WARM_UP)))


if __name__ == "__main__":
    print(generator())
