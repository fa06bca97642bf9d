"""config.json to our configurations and back; what is not supported is refused by its name."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hugging_face import CONFIGS, EXPERTS, GEMMA, GPT2, LLAMA

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.models import LlamaConfig
from tinygrad_llm.pretrained.configs import read_config, shortest, write_config
from tinygrad_llm.pretrained.fields import MODEL_TYPES

SIZES: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
ROTARY = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


def read(kind: str, **given: Any) -> Any:
    return read_config({"model_type": kind, **(SIZES if kind != "gpt2" else {}), **given})


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_configuration_is_written_and_read_again(kind: str) -> None:
    written = write_config(CONFIGS[kind])
    assert written["model_type"] == kind
    assert write_config(read_config(written)) == written


def test_the_published_files_of_models() -> None:
    gpt2 = read_config({
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
        "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768,
        "n_head": 12, "n_layer": 12, "n_positions": 1024, "resid_pdrop": 0.1,
        "summary_activation": None, "summary_first_dropout": 0.1, "summary_proj_to_labels": True,
        "summary_type": "cls_index", "summary_use_proj": True, "vocab_size": 50257,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}})
    assert (gpt2.layers, gpt2.heads, gpt2.width, gpt2.dropout) == (12, 12, 768, 0.1)
    smollm2 = read_config({
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 576,
        "initializer_range": 0.041666666666666664, "intermediate_size": 1536,
        "is_llama_config": True, "max_position_embeddings": 8192, "mlp_bias": False,
        "model_type": "llama", "num_attention_heads": 9, "num_hidden_layers": 30,
        "num_key_value_heads": 3, "pad_token_id": 2, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
        "rope_interleaved": False, "rope_scaling": None, "rope_theta": 100000,
        "tie_word_embeddings": True, "torch_dtype": "bfloat16", "use_cache": True,
        "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}},
        "transformers_version": "4.42.3", "vocab_size": 49152})
    assert smollm2 == LlamaConfig(
        vocab_size=49152, context=8192, layers=30, heads=9, width=576, key_heads=3, inner=1536,
        norm_eps=1e-5, theta=100000.0, tied=True)
    gemma = read_config({
        "architectures": ["Gemma2ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "attn_logit_softcapping": 50.0, "bos_token_id": 2, "cache_implementation": "hybrid",
        "eos_token_id": 1, "final_logit_softcapping": 30.0, "head_dim": 256,
        "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 2304, "initializer_range": 0.02, "intermediate_size": 9216,
        "max_position_embeddings": 8192, "model_type": "gemma2", "num_attention_heads": 8,
        "num_hidden_layers": 26, "num_key_value_heads": 4, "pad_token_id": 0,
        "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
        "sliding_window": 4096, "torch_dtype": "float32", "transformers_version": "4.42.4",
        "use_cache": True, "vocab_size": 256000})
    assert gemma == read_config({"model_type": "gemma2"})  # which leaves out what is usual
    assert (gemma.embed_scale, gemma.scale, gemma.layer_pattern) == (48.0, 0.0625, "LG")
    assert gemma.tied and gemma.post_norms and gemma.norm_offset == 1.0
    experts = read_config({
        "architectures": ["Qwen3MoeForCausalLM"], "attention_bias": False,
        "attention_dropout": 0.0, "bos_token_id": 151643, "decoder_sparse_step": 1,
        "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 2048,
        "initializer_range": 0.02, "intermediate_size": 6144, "max_position_embeddings": 40960,
        "max_window_layers": 48, "mlp_only_layers": [], "model_type": "qwen3_moe",
        "moe_intermediate_size": 768, "norm_topk_prob": True, "num_attention_heads": 32,
        "num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 48,
        "num_key_value_heads": 4, "output_router_logits": False, "rms_norm_eps": 1e-06,
        "rope_scaling": None, "rope_theta": 1000000.0, "router_aux_loss_coef": 0.001,
        "sliding_window": None, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "transformers_version": "4.51.0", "use_cache": True, "use_sliding_window": False,
        "vocab_size": 151936})
    assert (experts.experts, experts.expert_inner, experts.normalize_experts) == (128, 768, True)
    assert experts.qk_norm and not experts.qkv_bias and experts.balance == 0


@pytest.mark.parametrize("spelling", [
    {"rope_theta": 500.0, "rope_scaling": ROTARY},
    {"rope_theta": 500.0, "rope_scaling": {**ROTARY, "type": "llama3"}},
    {"rope_parameters": {**ROTARY, "rope_theta": 500.0}},
    {"rope_parameters": {**ROTARY, "rope_theta": 500, "original_max_position_embeddings": 64}}])
def test_both_spellings_of_rotary_settings(spelling: dict[str, Any]) -> None:
    config = read("llama", **spelling)
    assert config.theta == 500.0 and type(config.theta) is float
    assert config.rope_scaling == "llama3 factor=8.0 low=1.0 high=4.0 original=64"


def test_a_dynamic_rule_is_for_texts_beyond_max_position_embeddings() -> None:
    rope = {"rope_type": "dynamic", "factor": 2.5, "rope_theta": 500.0}
    config = read("llama", max_position_embeddings=65, rope_parameters=rope)
    assert config.rope_scaling == "dynamic factor=2.5 original=65" and config.context == 162
    for made in (config, replace(config, rope_scaling="dynamic factor=2.5", context=200)):
        written = write_config(made)
        assert written["max_position_embeddings"] == made.rotary().options["original"]
        assert written["rope_scaling"] == {"rope_type": "dynamic", "factor": 2.5}
        again = read_config(written)
        assert again.context == made.context
        assert again.rotary().options == made.rotary().options
    with pytest.raises(UserError, match="together with the others: context 64"):
        write_config(replace(config, context=64))


@pytest.mark.parametrize(("kind", "given", "window", "pattern"), [
    ("mistral", {"sliding_window": 7}, 7, "L"),
    ("mistral", {"sliding_window": None}, 0, "L"),
    ("mistral", {}, 4096, "L"),
    ("qwen2", {"sliding_window": 7}, 0, "L"),
    ("qwen2", {"sliding_window": 7, "use_sliding_window": True}, 0, "L"),
    ("qwen2", {"sliding_window": 7, "use_sliding_window": True, "max_window_layers": 3}, 7, "GGGL"),
    ("qwen3", {"sliding_window": 7, "use_sliding_window": True,
               "layer_types": 2 * ["full_attention", "sliding_attention"]}, 7, "GL"),
    ("qwen3", {"sliding_window": None, "use_sliding_window": False,
               "layer_types": 4 * ["full_attention"]}, 0, "L"),
    ("qwen2_moe", {"sliding_window": 7, "use_sliding_window": True, "max_window_layers": 3}, 7,
     "LG"),
    ("qwen2_moe", {"sliding_window": 7, "use_sliding_window": True, "max_window_layers": 2}, 7,
     "LGGG"),
    ("qwen2_moe", {"sliding_window": 0}, 0, "L"),
    ("qwen3_moe", {"sliding_window": 7, "use_sliding_window": True}, 7, "L"),
    ("gemma2", {}, 4096, "LG"),
    ("gemma2", {"layer_types": ["full_attention"] + 3 * ["sliding_attention"]}, 4096, "GLLL"),
])
def test_windows(kind: str, given: dict[str, Any], window: int, pattern: str) -> None:
    config = read(kind, **given)
    assert (config.window, config.layer_pattern) == (window, pattern)
    assert _local(read_config(write_config(config))) == _local(config)


def _local(config: LlamaConfig) -> list[int]:
    return [config.window if config.is_local(i) else 0 for i in range(config.layers)]


BAD = [
    ("llama", {"model_type": "lama"}, r"model_type is 'lama', .*did you mean 'llama'"),
    ("llama", {"model_type": None}, "model_type is None"),
    ("llama", {"model_type": ["llama"]}, "model_type is"),
    ("llama", {"rope_thetta": 3.0}, "'rope_thetta' is 3.0: no such field is supported for llama"),
    ("llama", {"quantization_config": {"bits": 4}}, r"quantization_config is \{'bits': 4\}"),
    ("llama", {"attention_dropout": 0.1}, "attention_dropout is 0.1.*training alone"),
    ("llama", {"pretraining_tp": 2}, "pretraining_tp is 2; only 1 or None is supported"),
    ("llama", {"sliding_window": 4}, "sliding_window is 4"),
    ("llama", {"hidden_act": "relu"}, "hidden_act is 'relu'; only silu"),
    ("llama", {"hidden_act": None}, "hidden_act: expected a text, got None"),
    ("llama", {"hidden_size": "32"}, "hidden_size: expected a whole number, got '32'"),
    ("llama", {"hidden_size": 32.0}, "hidden_size: expected a whole number, got 32.0"),
    ("llama", {"hidden_size": True}, "hidden_size: expected a whole number, got True"),
    ("llama", {"hidden_size": 0}, "hidden_size must be above 0, got 0"),
    ("llama", {"hidden_size": -32}, "hidden_size must be above 0, got -32"),
    ("llama", {"hidden_size": 33}, "width must be a multiple of heads"),
    ("llama", {"num_key_value_heads": 8}, "key_heads must divide heads, got 8 and 4"),
    ("llama", {"num_key_value_heads": 3}, "key_heads must divide heads"),
    ("llama", {"head_dim": 7}, "the width of a head must be even, got 7"),
    ("llama", {"hidden_size": 36}, "the width of a head must be even, got 9"),
    ("llama", {"num_hidden_layers": 10**9}, "1000000000 layers are more"),
    ("llama", {"rms_norm_eps": float("nan")}, "rms_norm_eps: expected a number, got nan"),
    ("llama", {"tie_word_embeddings": "yes"}, "tie_word_embeddings: expected true or false"),
    ("llama", {"rope_scaling": {"rope_type": "longrope", "factor": 2}}, "rope_scaling.*longrope"),
    ("llama", {"rope_scaling": {"rope_type": "linear", "factor": "2"}}, "rope_scaling"),
    ("llama", {"rope_scaling": {"rope_type": ["linear"]}}, "rope_scaling"),
    ("llama", {"rope_scaling": [2]}, "rope_scaling: expected an object"),
    ("llama", {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
     "partial_rotary_factor"),
    ("llama", {"rope_parameters": {"full_attention": {"rope_type": "default"}}}, "full_attention"),
    ("llama", {"rope_theta": 0}, "theta"),
    ("mistral", {"sliding_window": 0}, "sliding_window must be at least 1, or null"),
    ("mistral", {"layer_types": ["full_attention"]}, "'layer_types' is"),
    ("qwen2", {"layer_types": 3 * ["full_attention"], "use_sliding_window": True},
     "for each of 4 layers"),
    ("qwen2", {"layer_types": 4 * ["sliding_attention"]}, "though use_sliding_window is false"),
    ("qwen2", {"layer_types": 4 * [3], "use_sliding_window": True}, "layer_types: expected"),
    ("qwen3_moe", {"decoder_sparse_step": 2}, "decoder_sparse_step is 2; only 1"),
    ("qwen3_moe", {"mlp_only_layers": [0]}, r"mlp_only_layers is \[0\]"),
    ("qwen3_moe", {"num_experts": 2, "num_experts_per_tok": 3}, "experts_per_token"),
    ("mixtral", {"router_jitter_noise": 0.1}, "router_jitter_noise is 0.1"),
    ("gemma2", {"query_pre_attn_scalar": 0}, "query_pre_attn_scalar must be above 0"),
    ("gemma2", {"attn_logit_softcapping": 0.0}, "attn_logit_softcapping must be above 0"),
    ("gemma2", {"use_bidirectional_attention": True}, "use_bidirectional_attention is True"),
    ("gpt2", {"activation_function": "relu"}, "activation_function is 'relu'; only 'gelu_new'"),
    ("gpt2", {"n_inner": 100}, "n_inner is 100; only 4 n_embd, 3072"),
    ("gpt2", {"resid_pdrop": 0.0}, "resid_pdrop, embd_pdrop and attn_pdrop differ"),
    ("gpt2", {"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon is 1e-06"),
    ("gpt2", {"tie_word_embeddings": False}, "tie_word_embeddings is False"),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
    ("gpt2", {"n_head": 7}, "width must be a multiple of heads"),
]


@pytest.mark.parametrize(("kind", "given", "message"), BAD)
def test_what_is_not_supported_is_refused_by_name(kind: str, given: dict[str, Any],
                                                  message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(kind, **given)


@pytest.mark.parametrize("kind", MODEL_TYPES)
def test_no_field_is_ignored(kind: str) -> None:
    """A field that is honoured changes the result, or is refused, whatever it is set to."""
    assert read(kind) == read(kind, bos_token_id=7, initializer_range=0.5)
    idle = {"router_aux_loss_coef", "rope_parameters", "rope_scaling"}  # each by its own test
    if kind.startswith("qwen"):
        idle |= {"sliding_window", "layer_types", "max_window_layers", "use_sliding_window"}
    for name, default in MODEL_TYPES[kind].fields.items():
        other = not default if isinstance(default, bool) else (
            "gelu" if isinstance(default, str) else 12 if default is None else 2 * default)
        if name not in idle:
            with suppress(UserError):
                assert read(kind, **{name: other}) != read(kind, **{
                    name: SIZES.get(name, default)}), name


def test_the_file_that_a_model_came_from_is_kept() -> None:
    former = write_config(LLAMA) | {"bos_token_id": 1, "use_cache": True, "torch_dtype": "float16"}
    assert write_config(LLAMA, former) == former
    longer = write_config(replace(LLAMA, context=32), former)
    assert longer == former | {"max_position_embeddings": 32}


def test_dropout_and_biases_that_transformers_has_not() -> None:
    assert write_config(replace(LLAMA, dropout=0.2)) == write_config(LLAMA)
    assert write_config(replace(LLAMA, zero_outputs=True)) == write_config(LLAMA)
    assert write_config(replace(GPT2, bias=False)) == write_config(GPT2)
    assert read_config(write_config(replace(GPT2, dropout=0.25))).dropout == 0.25


def test_biases_of_attention() -> None:
    for kind in ("llama", "qwen3", "qwen3_moe", "gemma2"):
        config = read(kind, attention_bias=True)
        assert config.qkv_bias and config.out_bias and not config.mlp_bias
    assert not any((read("llama").qkv_bias, read("llama").out_bias, read("qwen2").out_bias))
    assert read("qwen2").qkv_bias and read("llama", mlp_bias=True).mlp_bias


def test_the_balance_of_experts() -> None:
    written = write_config(replace(EXPERTS, balance=0.5))
    assert written["output_router_logits"] and written["router_aux_loss_coef"] == 0.5
    assert not write_config(replace(EXPERTS, balance=0.0))["output_router_logits"]


@pytest.mark.parametrize(("config", "message"), [
    (replace(LLAMA, post_norms=True), "post_norms True"),
    (replace(LLAMA, out_bias=True), "out_bias True"),
    (replace(GEMMA, embed_scale=5.0), "embed_scale 5.0"),
    (replace(LLAMA, activation="relu_squared"), "the activation 'relu_squared', which is without"),
    (replace(EXPERTS, out_bias=True), "out_bias True"),
    (replace(GPT2, positions="sinusoidal"), "positions 'sinusoidal'"),
    (replace(GPT2, norm="rms", mlp="swiglu"), "norm 'rms', mlp 'swiglu'"),
])
def test_a_model_that_transformers_has_not_is_refused(config: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_config(config)


def test_the_shortest_pattern() -> None:
    assert [shortest(x) for x in ("L", "LLL", "LGL", "LGLLG", "GGGL")] == [
        "L", "L", "LG", "LGL", "GGGL"]
