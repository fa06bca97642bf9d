"""Small folders as Hugging Face's transformers writes them, made without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_llm.models import GPT, GPTConfig, Llama, LlamaConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.pretrained import Pretrained, save_pretrained
from tinygrad_llm.text import CharTokenizer
from tinygrad_llm.text.formats.json_files import parse_json

GPT2 = GPTConfig(vocab_size=30, context=16, layers=2, heads=2, width=12)
LLAMA = LlamaConfig(vocab_size=30, context=16, layers=2, heads=4, width=24, key_heads=2, inner=20,
                    tied=False)
EXPERTS = LlamaConfig(vocab_size=30, context=16, layers=2, heads=4, width=24, key_heads=2,
                      tied=False, qkv_bias=True, experts=3, expert_inner=10, shared_inner=14)
GEMMA = LlamaConfig(vocab_size=30, context=16, layers=3, heads=4, width=36, head_width=10, inner=20,
                    activation="gelu_tanh", norm_offset=1.0, window=5, layer_pattern="LG",
                    scale=0.25, soft_cap=20.0, logit_cap=10.0, post_norms=True, embed_scale=6.0)
CONFIGS: dict[str, Any] = {"gpt2": GPT2, "llama": LLAMA, "qwen2_moe": EXPERTS, "gemma2": GEMMA}
LETTERS = "abcdefghijklmnopqrstuvwxyz .\n"


def model_of(config: Any, seed: int = 3) -> Any:
    """Return a model in which every parameter is other than those of a fresh one."""
    model = (GPT if isinstance(config, GPTConfig) else Llama)(config)
    rng = np.random.default_rng(seed)
    for p in parameters(model).values():
        p.data += 0.3 * rng.standard_normal(p.shape, np.float32)
    return model


def write_folder(folder: Path, config: Any = LLAMA, **options: Any) -> Path:
    """Write a model with a tokenizer to the folder; return it."""
    save_pretrained(Pretrained(model_of(config), CharTokenizer.from_text(LETTERS)), folder,
                    **options)
    return folder


def edit(path: Path, **changes: Any) -> None:
    """Change fields of a JSON file; None for its absence is `...`."""
    content = parse_json(path.read_bytes()) | changes
    path.write_text(json.dumps({name: value for name, value in content.items()
                                if value is not ...}))
