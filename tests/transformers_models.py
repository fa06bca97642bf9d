"""Small models of Hugging Face's transformers, for comparisons; import after importorskip."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import transformers

SIZES: dict[str, Any] = {"vocab_size": 67, "hidden_size": 36, "intermediate_size": 44,
                         "num_hidden_layers": 3, "num_attention_heads": 6,
                         "num_key_value_heads": 2, "max_position_embeddings": 64}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16, "rope_theta": 500.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16,
        "rope_theta": 500.0}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 20, "head_dim": 8, "num_experts": 5}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", {"vocab_size": 67, "n_positions": 64, "n_embd": 36, "n_layer": 3, "n_head": 6,
                      "resid_pdrop": 0.1, "bos_token_id": 1, "eos_token_id": 1}),
    "llama, grouped heads": ("llama", {**SIZES, "rope_theta": 1000.0}),
    "llama, tied": ("llama", {**SIZES, "tie_word_embeddings": True}),
    "llama, all biases, wide heads": ("llama", {**SIZES, "attention_bias": True, "mlp_bias": True,
                                                "head_dim": 10, "num_key_value_heads": 6}),
    "llama 3, scaled rotary": ("llama", {**SIZES, "rope_parameters": LLAMA3}),
    "llama, yarn": ("llama", {**SIZES, "rope_parameters": YARN}),
    "llama, linear": ("llama", {**SIZES, "rope_parameters": {
        "rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}}),
    "llama, dynamic": ("llama", {**SIZES, "max_position_embeddings": 9, "rope_parameters": {
        "rope_type": "dynamic", "factor": 3.0, "rope_theta": 500.0}}),
    "mistral, window": ("mistral", {**SIZES, "sliding_window": 5}),
    "mistral, no window": ("mistral", {**SIZES, "sliding_window": None}),
    "mixtral": ("mixtral", {**SIZES, "num_local_experts": 5}),
    "qwen2": ("qwen2", {**SIZES, "rope_theta": 1000000.0}),
    "qwen2, windows above": ("qwen2", {**SIZES, "use_sliding_window": True, "sliding_window": 4,
                                       "max_window_layers": 1}),
    "qwen3": ("qwen3", {**SIZES, "head_dim": 8}),
    "qwen2_moe": ("qwen2_moe", {**SIZES, **EXPERTS, "shared_expert_intermediate_size": 28}),
    "qwen3_moe": ("qwen3_moe", {**SIZES, **EXPERTS, "norm_topk_prob": True}),
    "qwen3_moe, not normalised": ("qwen3_moe", {**SIZES, **EXPERTS, "norm_topk_prob": False}),
    "gemma2": ("gemma2", {**SIZES, "head_dim": 8, "sliding_window": 4, "query_pre_attn_scalar": 20,
                          "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0,
                          "pad_token_id": None}),  # whose row gets no gradient as an input
}
"""The type and the settings of each model; 36 columns have an exact root, for Gemma's scale."""


def config_of(case: str) -> Any:
    """Return transformers' configuration of a case."""
    kind, settings = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        return transformers.AutoConfig.for_model(kind, **settings)


def model_of(case: str, attention: str = "eager", seed: int = 3) -> Any:
    """Return a model in float64 in which every parameter matters: no bias 0, no norm 1."""
    torch.manual_seed(seed)
    config = config_of(case)
    config._experts_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(
        config, attn_implementation=attention).double().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            z = torch.randn(p.shape, dtype=p.dtype)
            if p.ndim > 1 and "embed_tokens" not in name and ".wte" not in name:
                z /= p.shape[-1 if "c_" not in name else 0] ** 0.5
            norm = name.endswith("weight") and p.ndim == 1
            p.copy_(0.6 * z + (1.0 if norm and "gemma" not in case else 0.0))
    return model


@contextmanager
def all_in_float64() -> Iterator[None]:
    """Have the reference compute in float64 where it would go over to float32.

    It does so in its norms, its softmax and its rotary angles, whatever the dtype of the model.
    """
    to, narrow, softmax = torch.Tensor.to, torch.Tensor.float, torch.nn.functional.softmax
    arange = torch.arange

    def wide(dtype: Any) -> Any:
        return torch.float64 if dtype is torch.float32 else dtype

    def to_wide(self: Any, *args: Any, **options: Any) -> Any:
        return to(self, *map(wide, args), **{name: wide(one) for name, one in options.items()})

    def wide_softmax(*args: Any, **options: Any) -> Any:
        return softmax(*args, **{name: wide(one) for name, one in options.items()})

    def wide_arange(*args: Any, **options: Any) -> Any:
        return arange(*args, **{name: wide(one) for name, one in options.items()})

    torch.Tensor.to, torch.Tensor.float = to_wide, torch.Tensor.double
    torch.nn.functional.softmax, torch.arange = wide_softmax, wide_arange
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.Tensor.to, torch.Tensor.float = to, narrow
        torch.nn.functional.softmax, torch.arange = softmax, arange
        torch.set_default_dtype(torch.float32)
