"""The fields of Hugging Face's config.json, for each type of model that can be read.

Every field of a file has to be in one of the tables here: honoured (it becomes one of our
settings), of one value only, or neutral, known to change nothing of what a model computes here. Any
other is refused by its name.

Source: the configuration classes of transformers 5.24 (models/*/configuration_*.py), which also say
what a field means where a file leaves it out, and the published files of the models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DIRECT = {
    "vocab_size": "vocab_size", "max_position_embeddings": "context", "num_hidden_layers": "layers",
    "num_attention_heads": "heads", "hidden_size": "width", "num_key_value_heads": "key_heads",
    "head_dim": "head_width", "intermediate_size": "inner", "rms_norm_eps": "norm_eps",
    "tie_word_embeddings": "tied", "qkv_bias": "qkv_bias", "mlp_bias": "mlp_bias",
    "attn_logit_softcapping": "soft_cap", "final_logit_softcapping": "logit_cap",
    "num_experts": "experts", "num_local_experts": "experts",
    "num_experts_per_tok": "experts_per_token", "moe_intermediate_size": "expert_inner",
    "shared_expert_intermediate_size": "shared_inner", "norm_topk_prob": "normalize_experts",
    "n_positions": "context", "n_layer": "layers", "n_head": "heads", "n_embd": "width",
}
"""Fields that are settings of ours under another name. The other honoured ones are in `configs`."""

ONLY: Mapping[str, tuple[Any, ...]] = {
    "is_encoder_decoder": (False,), "add_cross_attention": (False,), "pruned_heads": ({}, None),
    "chunk_size_feed_forward": (0,), "cross_attention_hidden_size": (None,),
    "tie_encoder_decoder": (False,), "quantization_config": (None,), "torchscript": (False,),
    "attention_dropout": (0, None), "partial_rotary_factor": (1, None),
    "rope_interleaved": (False,), "use_mrope": (False,),
}
"""Fields of any model of which the values here, and no others, mean what is computed here."""

NEUTRAL = frozenset([
    "model_type", "architectures", "transformers_version", "torch_dtype", "dtype", "use_cache",
    "initializer_range", "bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id",
    "sep_token_id", "cls_token_id", "mask_token_id", "decoder_start_token_id", "_name_or_path",
    "name_or_path", "_commit_hash", "return_dict", "output_hidden_states", "output_attentions",
    "output_scores", "return_dict_in_generate", "use_bfloat16", "tf_legacy_loss", "is_decoder",
    "gradient_checkpointing", "tokenizer_class", "prefix", "task_specific_params", "problem_type",
    "finetuning_task", "id2label", "label2id", "num_labels", "_num_labels", "max_length",
    "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups",
    "diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty",
    "length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids",
    "num_return_sequences", "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values",
    "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens",
    "cache_implementation", "_attn_implementation", "attn_implementation",
    "_attn_implementation_autoset", "_experts_implementation", "transformers.js_config",
    "unsloth_version", "unsloth_fixed", "is_llama_config", "max_sequence_length",
])
"""Fields of any model that change nothing: its name, how text is drawn from it, how it was
initialised, what other programs note."""


@dataclass(frozen=True)
class ModelType:
    """What we know of a `model_type`: the class that transformers loads it with, and its fields.

    `fields` are those that are honoured, each with the value it has where a file leaves it out;
    `ours` are settings that it always has; `only` and `neutral` are as above.
    """

    causal: str
    fields: Mapping[str, Any]
    ours: Mapping[str, Any] = field(default_factory=dict)
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    neutral: frozenset[str] = frozenset()


_LLAMA = {
    "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": None, "head_dim": None, "hidden_act": "silu",
    "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "tie_word_embeddings": False,
    "rope_theta": 10000.0, "rope_scaling": None, "rope_parameters": None,
}
_MISTRAL = _LLAMA | {"intermediate_size": 14336, "num_key_value_heads": 8,
                     "max_position_embeddings": 4096 * 32, "sliding_window": 4096}
_QWEN = _LLAMA | {
    "vocab_size": 151936, "intermediate_size": 22016, "num_key_value_heads": 32,
    "max_position_embeddings": 32768, "use_sliding_window": False, "sliding_window": 4096,
    "max_window_layers": 28, "layer_types": None,
}
_EXPERTS = {
    "hidden_size": 2048, "num_hidden_layers": 24, "norm_topk_prob": False,
    "output_router_logits": False, "router_aux_loss_coef": 0.001,
}
_ONLY_EXPERTS: dict[str, tuple[Any, ...]] = {"decoder_sparse_step": (1,),
                                             "mlp_only_layers": ([], None)}

MODEL_TYPES = {
    "gpt2": ModelType("GPT2LMHeadModel", {
        "vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12,
        "n_inner": None, "resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1,
    }, only={
        "activation_function": ("gelu_new", "gelu_pytorch_tanh"), "layer_norm_epsilon": (1e-5,),
        "scale_attn_weights": (True,), "scale_attn_by_inverse_layer_idx": (False,),
        "tie_word_embeddings": (True,),
    }, neutral=frozenset({
        "n_ctx", "summary_type", "summary_use_proj", "summary_activation",
        "summary_proj_to_labels", "summary_first_dropout", "reorder_and_upcast_attn",
        "output_past", "n_special", "predict_special_tokens"})),
    "llama": ModelType("LlamaForCausalLM", _LLAMA | {"attention_bias": False, "mlp_bias": False},
                       only={"pretraining_tp": (1, None), "sliding_window": (None,)}),
    "mistral": ModelType("MistralForCausalLM", _MISTRAL),
    "mixtral": ModelType("MixtralForCausalLM", _MISTRAL | {
        "num_local_experts": 8, "num_experts_per_tok": 2, "output_router_logits": False,
        "router_aux_loss_coef": 0.001, "sliding_window": None, "rope_theta": 1e6,
        "rms_norm_eps": 1e-5,
    }, {"normalize_experts": True}, {"router_jitter_noise": (0,)}),
    "qwen2": ModelType("Qwen2ForCausalLM", _QWEN, {"qkv_bias": True}),
    "qwen2_moe": ModelType("Qwen2MoeForCausalLM", _QWEN | _EXPERTS | {
        "num_attention_heads": 16, "num_key_value_heads": 16, "intermediate_size": 5632,
        "num_experts": 60, "num_experts_per_tok": 4, "moe_intermediate_size": 1408,
        "shared_expert_intermediate_size": 5632, "qkv_bias": True,
    }, only=_ONLY_EXPERTS),
    "qwen3": ModelType("Qwen3ForCausalLM", _QWEN | {"head_dim": 128, "attention_bias": False},
                       {"qk_norm": True}),
    "qwen3_moe": ModelType("Qwen3MoeForCausalLM", {
        name: default for name, default in (_QWEN | _EXPERTS).items()
        if name not in ("layer_types", "max_window_layers")} | {
        "intermediate_size": 6144, "num_key_value_heads": 4, "num_experts": 128,
        "num_experts_per_tok": 8, "moe_intermediate_size": 768, "attention_bias": False,
    }, {"qk_norm": True}, _ONLY_EXPERTS, frozenset({"max_window_layers"})),
    "gemma2": ModelType("Gemma2ForCausalLM", {
        name: default for name, default in _LLAMA.items() if name != "hidden_act"} | {
        "vocab_size": 256000, "hidden_size": 2304, "intermediate_size": 9216,
        "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4,
        "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": True,
        "max_position_embeddings": 8192, "query_pre_attn_scalar": 256, "sliding_window": 4096,
        "layer_types": None, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
        "attention_bias": False,
    }, {"norm_offset": 1.0, "post_norms": True}, {"use_bidirectional_attention": (None, False)},
        frozenset({"hidden_act"})),
}
"""The types of models by name, those first that a model without a type of its own is written as."""
