"""GGUF files of small models of ours, written by hand, name for name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gguf_files import write

from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn import parameters

LLAMA: dict[str, Any] = {"vocab_size": 11, "context": 32, "layers": 2, "heads": 4, "key_heads": 2,
                         "width": 24, "head_width": 6, "inner": 20, "norm_eps": 1e-6,
                         "theta": 500.0}
EXPERTS: dict[str, Any] = {"experts": 3, "experts_per_token": 2, "expert_inner": 10, "balance": 0.0,
                           "inner": 0}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", LLAMA | {"tied": False}),
    "llama, tied, with biases": ("llama", LLAMA | {"qkv_bias": True, "out_bias": True,
                                                   "mlp_bias": True}),
    "llama, window": ("llama", LLAMA | {"window": 5}),
    "llama, experts": ("llama", LLAMA | EXPERTS),
    "qwen2": ("qwen2", LLAMA | {"qkv_bias": True}),
    "qwen3": ("qwen3", LLAMA | {"qk_norm": True}),
    "qwen2moe": ("qwen2moe", LLAMA | EXPERTS | {"qkv_bias": True, "shared_inner": 14,
                                                "normalize_experts": False}),
    "qwen3moe": ("qwen3moe", LLAMA | EXPERTS | {"qk_norm": True}),
    "gemma2": ("gemma2", LLAMA | {
        "activation": "gelu_tanh", "norm_offset": 1.0, "post_norms": True, "embed_scale": 24**0.5,
        "layer_pattern": "LG", "window": 5, "soft_cap": 4.0, "logit_cap": 6.0}),
}
LETTERS = {"tokenizer.ggml.model": "llama",
           "tokenizer.ggml.tokens": ["<unk>", *"abcdefghi", "\u2581"],
           "tokenizer.ggml.scores": [0.5] * 11, "tokenizer.ggml.token_type": [2] + [1] * 10,
           "tokenizer.ggml.eos_token_id": 3}
"""Metadata of a tokenizer for these models, without merges."""
GPT2 = {"vocab_size": 11, "context": 16, "layers": 2, "heads": 4, "width": 24}


def perturbed(model: Any, seed: int = 0) -> Any:
    """Return the model with every parameter drawn anew: no bias is 0 and no norm is 1."""
    rng = np.random.default_rng(seed)
    for p in parameters(model).values():
        p.data[...] = rng.normal(0, 0.3, p.shape) + (p.ndim == 1)
        p.data[...] = np.round(p.data * 1024) / 1024  # that 1 can be added and subtracted exactly
    return model


def llama(case: str) -> tuple[str, Llama]:
    """Return the architecture's name in GGUF and a model of ours."""
    name, settings = CONFIGS[case]
    return name, perturbed(Llama(LlamaConfig(**settings)))


def neighbours(rows: np.ndarray, depth: int) -> np.ndarray:
    """Return the rows of q or k with those of a pair, depth / 2 apart in ours, side by side."""
    order = [h * depth + s * depth // 2 + i for h in range(len(rows) // depth)
             for i in range(depth // 2) for s in range(2)]
    return rows[order]


def llama_tensors(name: str, model: Llama) -> dict[str, np.ndarray]:
    """Return a model's tensors by their names in GGUF."""
    c, own = model.config, {key: p.data for key, p in parameters(model).items()}
    found = {"token_embd.weight": own["wte.weight"], "output_norm.weight": own["norm_f.weight"]}
    if "head" in own:
        found["output.weight"] = own["head"]
    q, k = c.heads * c.depth, c.groups * c.depth
    parts = {"attn_q": slice(0, q), "attn_k": slice(q, q + k), "attn_v": slice(q + k, q + 2 * k)}
    post = c.post_norms
    whole = {"attn_norm": "norm_1", "ffn_norm": "norm_2", "attn_output": "attn.out",
             "attn_q_norm": "attn.q_norm", "attn_k_norm": "attn.k_norm", "ffn_down": "mlp.down",
             "ffn_gate_inp": "mlp.router", "ffn_down_shexp": "mlp.shared.down",
             "ffn_gate_inp_shexp": "mlp.shared_gate",
             **({"post_attention_norm": "post_attn", "post_ffw_norm": "post_mlp"} if post else {})}
    packed = {("ffn_gate", "ffn_up"): "mlp.gate_up",
              ("ffn_gate_shexp", "ffn_up_shexp"): "mlp.shared.gate_up"}
    for i in range(c.layers):
        for kind in ("weight", "bias"):
            for theirs, part in parts.items():
                if f"h.{i}.attn.qkv.{kind}" in own:
                    rows = own[f"h.{i}.attn.qkv.{kind}"][part]
                    if name == "llama" and theirs != "attn_v":
                        rows = neighbours(rows, c.depth)
                    found[f"blk.{i}.{theirs}.{kind}"] = rows
            for theirs, ours in whole.items():
                if f"h.{i}.{ours}.{kind}" in own:
                    found[f"blk.{i}.{theirs}.{kind}"] = own[f"h.{i}.{ours}.{kind}"]
            for names, ours in packed.items():
                if f"h.{i}.{ours}.{kind}" in own:
                    gate, up = np.split(own[f"h.{i}.{ours}.{kind}"], 2)
                    found |= {f"blk.{i}.{theirs}.{kind}": part
                              for theirs, part in zip(names, (gate, up), strict=True)}
        if c.experts:
            gate, up = np.split(own[f"h.{i}.mlp.gate_up"], 2, axis=1)
            found |= {f"blk.{i}.ffn_gate_exps.weight": gate, f"blk.{i}.ffn_up_exps.weight": up,
                      f"blk.{i}.ffn_down_exps.weight": own[f"h.{i}.mlp.down"]}
    return {key: array + 1 if name == "gemma2" and key.endswith("norm.weight") else array
            for key, array in found.items()}


def llama_metadata(name: str, c: LlamaConfig) -> dict[str, Any]:
    """Return a configuration as GGUF's metadata."""
    found: dict[str, Any] = {
        "block_count": c.layers, "context_length": c.context, "embedding_length": c.width,
        "feed_forward_length": c.columns, "attention.head_count": c.heads,
        "attention.head_count_kv": c.groups, "attention.key_length": c.depth,
        "attention.layer_norm_rms_epsilon": c.norm_eps, "rope.freq_base": c.theta}
    if c.experts:
        found |= {"expert_count": c.experts, "expert_used_count": c.experts_per_token}
    if c.window:
        found["attention.sliding_window"] = c.window
    if c.soft_cap:
        found |= {"attn_logit_softcapping": c.soft_cap, "final_logit_softcapping": c.logit_cap}
    return {"general.architecture": name, **{f"{name}.{key}": v for key, v in found.items()}}


def gpt2() -> tuple[GPT, dict[str, Any], dict[str, np.ndarray]]:
    """Return a GPT of ours, and the metadata and tensors of its GGUF file."""
    model = perturbed(GPT(GPTConfig(**GPT2)))
    own = {key: p.data for key, p in parameters(model).items()}
    names = {"token_embd.weight": "wte.weight", "position_embd.weight": "wpe.weight"}
    for kind in ("weight", "bias"):
        names[f"output_norm.{kind}"] = f"ln_f.{kind}"
        for i in range(2):
            names |= {f"blk.{i}.{theirs}.{kind}": f"h.{i}.{ours}.{kind}" for theirs, ours in {
                "attn_norm": "ln_1", "attn_qkv": "attn.qkv", "attn_output": "attn.out",
                "ffn_norm": "ln_2", "ffn_up": "mlp.up", "ffn_down": "mlp.down"}.items()}
    metadata = {"general.architecture": "gpt2", "gpt2.block_count": 2, "gpt2.context_length": 16,
                "gpt2.embedding_length": 24, "gpt2.feed_forward_length": 96,
                "gpt2.attention.head_count": 4, "gpt2.attention.layer_norm_epsilon": 1e-5}
    return model, metadata, {theirs: own[ours] for theirs, ours in names.items()}


def write_llama(path: Path, case: str, metadata: dict[str, Any] | None = None,
                tensors: dict[str, Any] | None = None) -> Llama:
    """Write a model's file, with other entries or tensors (None: without them); return the model.
    """
    name, model = llama(case)
    entries = llama_metadata(name, model.config) | (metadata or {})
    arrays: dict[str, Any] = {**llama_tensors(name, model), **(tensors or {})}
    write(path, {key: v for key, v in entries.items() if v is not None},
          {key: array for key, array in arrays.items() if array is not None})
    return model
