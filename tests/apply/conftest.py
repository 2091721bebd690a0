"""A small BERT and a small Llama, written once."""

import pytest

from qprobe.checkpoint import read_model
from qprobe.checkpoint.loading import load_module
from tests.checkpoints import tiny_bert, tiny_llama


@pytest.fixture(scope="session")
def bert_path(tmp_path_factory):
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def llama_path(tmp_path_factory):
    return tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def bert(bert_path):
    return read_model(bert_path)


@pytest.fixture
def module(bert_path):
    return load_module(bert_path)
