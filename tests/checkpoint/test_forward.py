"""The output that errors are measured at is found on models of every make."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qprobe.checkpoint.forward import output_metric, run_forward
from qprobe.checkpoint.loading import load_module
from qprobe.errors import InputError
from tests.checkpoints import tiny_bert, tiny_llama

IDS = torch.arange(10).reshape(2, 5)


def test_encoder(tmp_path):
    module = load_module(tiny_bert(tmp_path))
    with torch.no_grad():
        y = run_forward(module, IDS)
        expected = module(input_ids=IDS).last_hidden_state
    assert output_metric(module) == "last_hidden_state"
    assert y.shape == (2, 5, 64)
    torch.testing.assert_close(y, expected)


def test_language_model(tmp_path):
    module = load_module(tiny_llama(tmp_path))
    with torch.no_grad():
        assert run_forward(module, IDS).shape == (2, 5, 96)
    assert output_metric(module) == "logits"


def test_classifier(tmp_path):
    module = load_module(tiny_bert(tmp_path, "BertForSequenceClassification"))
    assert output_metric(module) == "logits"


def test_plain_module():
    module = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 3))
    assert output_metric(module) == "last_hidden_state"
    assert run_forward(module, IDS).shape == (2, 5, 3)


class Tuples(nn.Module):
    """Returns what cannot be compared."""

    def forward(self, input_ids: torch.Tensor) -> tuple[torch.Tensor]:
        return (input_ids,)


def test_output_that_cannot_be_compared(tmp_path):
    with pytest.raises(InputError, match=r"Tuples returns neither .* but a tuple"):
        run_forward(Tuples(), IDS)


def test_the_fields_that_were_found_are_named(tmp_path):
    module = load_module(tiny_bert(tmp_path, "BertForQuestionAnswering"))
    with pytest.raises(InputError, match="but start_logits, end_logits"):
        output_metric(module)
