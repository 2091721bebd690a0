"""A small model of every family, in the classes that differ in their linears."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from pathlib import Path

from tests.checkpoints import import_transformers

LM = {
    "hidden_size": 64, "intermediate_size": 160, "num_attention_heads": 4, "num_key_value_heads": 2,
    "num_hidden_layers": 2, "vocab_size": 96, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
LAYERS = {
    "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_hidden_layers": 2,
}  # fmt: skip
TEXT = LAYERS | {
    "vocab_size": 96,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "eos_token_id": 2,
}
IMAGES = LAYERS | {"image_size": 32, "patch_size": 8}
GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 96, "n_positions": 64}
T5 = {"d_model": 64, "d_ff": 128, "d_kv": 12, "num_heads": 4, "num_layers": 2, "vocab_size": 96}
WHISPER = {
    "d_model": 64, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 128, "decoder_ffn_dim": 96, "vocab_size": 96,
    "num_mel_bins": 8, "max_source_positions": 20, "max_target_positions": 16, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3,
}  # fmt: skip
EXPERTS = LM | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
DEEPSEEK = LM | {
    "num_key_value_heads": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1,
    "topk_group": 1, "moe_intermediate_size": 32, "first_k_dense_replace": 1, "q_lora_rank": 24,
    "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 12, "v_head_dim": 10,
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A class of transformers and the sizes of its config."""

    model_type: str
    architecture: str
    sizes: dict = field(default_factory=dict)
    latent: bool = False

    def make(self, seed=0):
        """The module, with random weights."""
        import torch

        transformers = import_transformers()
        sizes = {k: dict(v) if isinstance(v, dict) else v for k, v in self.sizes.items()}
        config = transformers.AutoConfig.for_model(self.model_type, **sizes)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return getattr(transformers, self.architecture)(config).eval()

    def save(self, directory: Path) -> Path:
        """Write the model as a checkpoint."""
        self.make().save_pretrained(directory)
        return directory


CASES = {
    "bert": Case("bert", "BertForPreTraining", TEXT),
    "roberta": Case("roberta", "RobertaForMaskedLM", TEXT),
    "distilbert": Case("distilbert", "DistilBertForSequenceClassification",
                       {"dim": 64, "hidden_dim": 128, "n_heads": 4, "n_layers": 2, "vocab_size": 96}),
    "gpt2": Case("gpt2", "GPT2LMHeadModel", GPT2),
    "gpt2, bare": Case("gpt2", "GPT2Model", GPT2 | {"n_inner": 100}),
    "gpt2, two heads": Case("gpt2", "GPT2DoubleHeadsModel", GPT2),
    "gpt2, untied": Case("gpt2", "GPT2LMHeadModel", GPT2 | {"tie_word_embeddings": False}),
    "opt": Case("opt", "OPTForCausalLM", LAYERS | {"ffn_dim": 128, "vocab_size": 96, "max_position_embeddings": 64}),
    "opt, projected": Case("opt", "OPTForCausalLM", LAYERS | {"ffn_dim": 128, "vocab_size": 96, "word_embed_proj_dim": 32}),
    "llama": Case("llama", "LlamaForCausalLM", LM),
    "llama, scores": Case("llama", "LlamaForSequenceClassification", LM),
    "mistral": Case("mistral", "MistralForCausalLM", LM | {"head_dim": 24, "sliding_window": 4}),
    "qwen2": Case("qwen2", "Qwen2ForCausalLM", LM | {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
    "qwen3": Case("qwen3", "Qwen3ForCausalLM", LM | {"head_dim": 32}),
    "gemma": Case("gemma", "GemmaForCausalLM", LM | {"head_dim": 32}),
    "gemma2": Case("gemma2", "Gemma2ForCausalLM", LM | {"head_dim": 32, "sliding_window": 4}),
    "gemma3": Case("gemma3_text", "Gemma3ForCausalLM", LM | {"head_dim": 32, "sliding_window": 4, "num_hidden_layers": 7}),
    "phi": Case("phi", "PhiForCausalLM", LM),
    "phi3": Case("phi3", "Phi3ForCausalLM", LM),
    "mixtral": Case("mixtral", "MixtralForCausalLM", LM | {"num_local_experts": 4}),
    "qwen2_moe": Case("qwen2_moe", "Qwen2MoeForCausalLM", EXPERTS | {"shared_expert_intermediate_size": 48}),
    "qwen3_moe": Case("qwen3_moe", "Qwen3MoeForCausalLM", EXPERTS | {"head_dim": 32, "mlp_only_layers": [0]}),
    "deepseek_v3": Case("deepseek_v3", "DeepseekV3ForCausalLM", DEEPSEEK, latent=True),
    "deepseek_v3, q whole": Case("deepseek_v3", "DeepseekV3ForCausalLM", DEEPSEEK | {"q_lora_rank": None}, latent=True),
    "t5": Case("t5", "T5ForConditionalGeneration", T5 | {"num_decoder_layers": 3}),
    "t5, gated": Case("t5", "T5ForConditionalGeneration", T5 | {"feed_forward_proj": "gated-gelu"}),
    "t5, encoder": Case("t5", "T5EncoderModel", T5),
    "whisper": Case("whisper", "WhisperForConditionalGeneration", WHISPER),
    "vit": Case("vit", "ViTModel", IMAGES),
    "vit, classes": Case("vit", "ViTForImageClassification", IMAGES),
    "clip": Case("clip", "CLIPModel", {"text_config": TEXT, "vision_config": IMAGES, "projection_dim": 24}),
    "clip, classes": Case("clip", "CLIPForImageClassification", {"text_config": TEXT, "vision_config": IMAGES}),
    "clip, text": Case("clip_text_model", "CLIPTextModelWithProjection", TEXT),
    "clip, bare text": Case("clip_text_model", "CLIPTextModel", TEXT),
    "clip, images": Case("clip_vision_model", "CLIPVisionModel", IMAGES),
}  # fmt: skip


def inputs_for(module, batch, prompt) -> dict:
    """What a forward pass over `batch` sequences of `prompt` tokens takes, of what the module takes."""
    import torch

    takes = inspect.signature(module.forward).parameters
    config = module.config
    ids = torch.arange(3, 3 + batch * prompt).reshape(batch, prompt) % 90
    ids[:, -1] = 2
    found = {"input_ids": ids}
    if "pixel_values" in takes:
        pixels = torch.arange(batch * 3 * 32 * 32).reshape(batch, 3, 32, 32)
        found["pixel_values"] = torch.sin(pixels.float())
    if "decoder_input_ids" in takes:
        found["decoder_input_ids"] = torch.zeros(batch, 1, dtype=torch.int64)
    if "input_features" in takes:
        sound = (batch, config.num_mel_bins, 2 * config.max_source_positions)
        found["input_features"] = torch.sin(
            torch.arange(torch.Size(sound).numel()).reshape(sound).float()
        )
        found["decoder_input_ids"] = ids
    if "logits_to_keep" in takes:
        found["logits_to_keep"] = 1
    return {name: value for name, value in found.items() if name in takes}


def expands_before_caching(module) -> bool:
    """Whether this transformers, as 5.0 does, caches what latent vectors expand to, not them."""
    import torch

    with torch.no_grad():
        cache = module(input_ids=torch.tensor([[1, 2]]), use_cache=True).past_key_values
    return cache.layers[0].keys.shape[1] == module.config.num_attention_heads
