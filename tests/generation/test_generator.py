"""The generator is trained, is what qprobe reads, and is trained once."""

import numpy
import pytest
import torch

from qprobe.checkpoint.text import tokenize
from tests import generator as making
from tests.generation.quality import log_probabilities, perplexity
from tests.generator import HELD_OUT, TRAINING


def trigram_perplexity(training: bytes, text: bytes) -> float:
    """Of each byte given the two before it, by counts with Witten-Bell's interpolation."""
    seen, asked = (
        numpy.frombuffer(data, dtype=numpy.uint8).astype(int) for data in (training, text)
    )
    p = numpy.full(len(asked) - 2, 1 / 256)
    for before in range(3):
        counts = numpy.bincount(_grams(seen, before + 1), minlength=256 ** (before + 1))
        table = counts.reshape(-1, 256)
        total, kinds = table.sum(1), (table > 0).sum(1)
        context = _grams(asked[2 - before : len(asked) - 1], before)
        next_byte = asked[2:]
        weight = numpy.where(total + kinds > 0, kinds, 1)[context]
        p = (table[context, next_byte] + weight * p) / (total[context] + weight)
    return float(numpy.exp(-numpy.log(p).mean()))


def _grams(data, size):
    """Each `size` bytes in a row as one number."""
    number = numpy.zeros(len(data) - size + 1, dtype=int)
    for index in range(size):
        number = 256 * number + data[index : index + len(number)]
    return number


def test_it_predicts_what_it_has_not_seen_much_better_than_counts_do(path, module):
    training, held_out = ((path / name).read_bytes() for name in (TRAINING, HELD_OUT))
    ids = making.windows(held_out.decode(), 256)[:100]
    found = perplexity(log_probabilities(module, ids), ids)
    counts = trigram_perplexity(training, ids.to(torch.uint8).numpy().tobytes())
    print(f"perplexity of a byte: {found:.2f}, of a 3-gram {counts:.2f}")
    assert found < 0.85 * counts


def test_its_heads_share_keys_and_values(model):
    sizes = {linear.kind: linear.n for linear in model.linears}
    assert sizes["key"] == sizes["value"] == sizes["query"] // 2
    assert sizes["head"] == making.VOCABULARY == model.vocab_size


def test_its_tokens_are_bytes(path, model):
    assert tokenize("é\n", path, model.vocab_size) == [0xC3, 0xA9, 0x0A]


def test_what_is_held_out_is_not_trained_on(path):
    training, held_out = (
        (path / name).read_text(encoding="utf-8") for name in (TRAINING, HELD_OUT)
    )
    assert "JSON" in held_out
    blocks = [held_out[i : i + 300] for i in range(0, len(held_out) - 300, 3000)]
    assert sum(block in training for block in blocks) < 0.05 * len(blocks)


def test_it_is_trained_once(path, monkeypatch):
    monkeypatch.setattr(making, "_make", None)
    assert making.generator() == path


@pytest.fixture
def untrained(monkeypatch, tmp_path):
    """An empty cache, and a training that takes no time."""

    def write(directory):
        directory.mkdir()
        (directory / "config.json").write_text("{}")

    monkeypatch.setenv("QPROBE_TEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(making, "_make", write)
    return tmp_path / "cache"


def test_nothing_is_left_but_the_checkpoint(untrained):
    made = making.generator()
    assert [file.name for file in made.iterdir()] == ["config.json"]
    assert list(untrained.iterdir()) == [made]


def test_a_training_that_fails_leaves_nothing(untrained, monkeypatch):
    def fail(directory):
        directory.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "_make", fail)
    with pytest.raises(KeyboardInterrupt):
        making.generator()
    assert list(untrained.iterdir()) == []


def test_another_process_may_be_faster(untrained, monkeypatch):
    write = making._make

    def race(directory):
        write(directory)
        write(untrained / f"generator-{making._key()}")

    monkeypatch.setattr(making, "_make", race)
    assert making.generator().is_dir()
    assert len(list(untrained.iterdir())) == 1
