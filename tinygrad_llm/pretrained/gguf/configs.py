r"""From a GGUF file's metadata to our configurations.

Sizes stand under the architecture's name: `llama.block_count`. The tensors have most of them in
their shapes, and must agree, before a model of such a size is made; only they say whether there are
biases, and a head of its own. Three things are not stored, or otherwise than elsewhere:

- Gemma 2's factor of scores follows from the size, and every second layer is local.
- Llama 3's scaled rotary is the factors by which wavelengths grow (`rope_freqs.weight`). From the
  longest, $v = 1 / ((1 - w) / f + w)$ with $w$ as in `nn.positions`, comes $f$, and all factors are
  made anew from it and compared: others than the rule's are refused.
- Numbers are float32, and mean the shortest decimal that rounds to them; see `gguf.entry`.

An entry that is not known is refused by name, as is a value that is not honoured.

Sources: constants.py of the package gguf; llama-model.cpp and convert_hf_to_gguf.py of llama.cpp.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...host.errors import UserError, did_you_mean, shortened
from ...models import GPTConfig, LlamaConfig
from ...nn.positions import llama3
from .file import REQUIRED, GGUFFile, entry

_SIZES = ("block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size",
          "attention.head_count", "attention.head_count_kv", "attention.causal")
_ROTARY = ("rope.dimension_count", "rope.freq_base", "rope.scaling.type", "rope.scaling.factor",
           "rope.scaling.original_context_length", "rope.scaling.finetuned",
           "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow")
_LLAMA = (*_SIZES, *_ROTARY, "attention.key_length", "attention.value_length",
          "attention.layer_norm_rms_epsilon")
_EXPERTS = ("expert_count", "expert_used_count", "expert_feed_forward_length",
            "expert_weights_norm", "expert_gating_func")
ENTRIES = {
    "gpt2": (*_SIZES, "attention.layer_norm_epsilon"),
    "llama": (*_LLAMA, *_EXPERTS, "attention.sliding_window", "tensor_data_layout"),
    "qwen2": _LLAMA, "qwen3": _LLAMA,
    "qwen2moe": (*_LLAMA, *_EXPERTS, "expert_shared_feed_forward_length"),
    "qwen3moe": (*_LLAMA, *_EXPERTS),
    "gemma2": (*_LLAMA, "attention.sliding_window", "attn_logit_softcapping",
               "final_logit_softcapping"),
}
"""The architectures that are read, and their entries. Mistral's and SmolLM2's are llama."""

LAYERS_OF_GEMMA2_27B = 46
OLD_LAYOUT = "Meta AI original pth"  # as old files call the order of rows that all have
SOFTMAX = 1  # of expert_gating_func
LOW, HIGH, ORIGINAL = 1.0, 4.0, 8192  # of Llama 3's rotary scaling, which has no entries


def read_config(file: GGUFFile) -> GPTConfig | LlamaConfig:
    """Return the configuration of the model in a file.

    Raises UserError for an architecture, an entry or a value that is not supported, by its name,
    and ValueError where sizes contradict each other.
    """
    name = entry(file.metadata, "general.architecture", str)
    if name not in ENTRIES:
        raise UserError(f"its architecture is {shortened(name)}, which is not read here"
                        f"{did_you_mean(name, ENTRIES)}")
    _refuse_unknown(file, name)
    given = _Entries(file, name)
    given.only("attention.causal", bool, True)
    given.only("tensor_data_layout", str, OLD_LAYOUT)
    rows, width = given.shape("token_embd")[-2:]
    given.only("vocab_size", int, rows)
    given.only("embedding_length", int, width)
    sizes = {"vocab_size": rows, "width": width, "layers": given.one("block_count", int),
             "context": given.one("context_length", int),
             "heads": given.same("attention.head_count")}
    if not 1 <= sizes["layers"] <= len(file.tensors) or sizes["heads"] < 1:
        raise UserError(f"its {len(file.tensors)} tensors are not those of {sizes['layers']} "
                        f"layers of {sizes['heads']} heads")
    return _gpt2(given, sizes) if name == "gpt2" else _llama(given, sizes)


def _refuse_unknown(file: GGUFFile, name: str) -> None:
    """Raise UserError for what the file is, or has, and we do not know."""
    metadata = file.metadata
    for key, kind, only in (("general.type", str, "model"), ("split.count", int, 1),
                            ("general.quantization_version", int, 2)):
        if (value := entry(metadata, key, kind, only)) != only:
            raise UserError(f"{key!r} is {shortened(value)}; only {only!r} is supported")
    for key in metadata:
        if key.startswith(f"{name}.") and key.removeprefix(f"{name}.") not in ENTRIES[name]:
            raise UserError(f"the metadata have {key!r}, {shortened(metadata[key])}: no such entry "
                            "is supported, and it may change what is computed")


class _Entries:
    """The entries of a file under its architecture's name, and the shapes of its tensors."""

    def __init__(self, file: GGUFFile, name: str) -> None:
        self.file, self.name = file, name

    def one(self, name: str, kind: type, default: Any = REQUIRED) -> Any:
        """Return an entry; see `gguf.entry`."""
        return entry(self.file.metadata, f"{self.name}.{name}", kind, default)

    def same(self, name: str, default: Any = REQUIRED) -> int:
        """Return a size that may be given for each layer, if it is the same for all."""
        value = self.file.metadata.get(f"{self.name}.{name}")
        if not isinstance(value, np.ndarray):
            return int(self.one(name, int, default))
        if value.dtype.kind not in "iu" or len(set(value.tolist())) != 1 or value[0] < 0:
            raise UserError(f"{self.name}.{name} is {shortened(value.tolist())}; only one size for "
                            "all layers is supported")
        return int(value[0])

    def only(self, name: str, kind: type, value: Any) -> None:
        """Raise UserError where an entry is there and has another value."""
        found = self.same(name, value) if kind is int else self.one(name, kind, value)
        if found != value:
            raise UserError(f"{self.name}.{name} is {shortened(found)}; only {shortened(value)} is "
                            "supported, with its tensors and other entries")

    def has(self, tensor: str) -> bool:
        """Whether the file has a tensor."""
        return tensor in self.file.tensors

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Return the shape of a tensor of weights, two axes or more."""
        stored = self.file.tensors.get(f"{tensor}.weight")
        if stored is None or len(stored.shape) < 2:
            raise UserError(f"it has no tensor {tensor}.weight of two axes or more")
        return stored.shape


def _gpt2(given: _Entries, sizes: dict[str, Any]) -> GPTConfig:
    given.only("context_length", int, given.shape("position_embd")[0])
    given.only("feed_forward_length", int, 4 * sizes["width"])
    given.only("attention.head_count_kv", int, sizes["heads"])
    given.only("attention.layer_norm_epsilon", float, 1e-5)
    return GPTConfig(**sizes)


def _llama(given: _Entries, sizes: dict[str, Any]) -> LlamaConfig:
    rows, key_rows = (given.shape(f"blk.0.attn_{x}")[0] for x in "qk")
    depth = rows // sizes["heads"]
    if rows % sizes["heads"] or key_rows % depth:
        raise UserError(f"blk.0.attn_q.weight and attn_k.weight have {rows} and {key_rows} rows, "
                        f"which are not those of {sizes['heads']} heads")
    key_heads = key_rows // depth
    given.only("attention.head_count_kv", int, key_heads)
    for name in ("attention.key_length", "attention.value_length", "rope.dimension_count"):
        given.only(name, int, depth)
    theta = given.one("rope.freq_base", float, 10000.0)
    found: dict[str, Any] = {
        **sizes, "key_heads": key_heads, "head_width": depth, "theta": theta,
        "norm_eps": given.one("attention.layer_norm_rms_epsilon", float),
        "rope_scaling": _rope_scaling(given, depth, theta), "tied": not given.has("output.weight"),
        "qkv_bias": given.has("blk.0.attn_q.bias"), "out_bias": given.has("blk.0.attn_output.bias"),
        "mlp_bias": given.has("blk.0.ffn_up.bias"), "qk_norm": given.name.startswith("qwen3"),
        "window": given.one("attention.sliding_window", int, 0)}
    if given.name.endswith("moe") or given.one("expert_count", int, 0):
        return LlamaConfig(**found, **_experts(given))
    found["inner"] = given.shape("blk.0.ffn_up")[0]
    given.only("feed_forward_length", int, found["inner"])
    return LlamaConfig(**found | (_gemma2(given, sizes) if given.name == "gemma2" else {}))


def _gemma2(given: _Entries, sizes: dict[str, Any]) -> dict[str, Any]:
    """Return what is particular to Gemma 2; what is not given is as in its release."""
    large = sizes["layers"] == LAYERS_OF_GEMMA2_27B
    return {"activation": "gelu_tanh", "norm_offset": 1.0, "post_norms": True,
            "embed_scale": math.sqrt(sizes["width"]), "layer_pattern": "LG",
            "window": given.one("attention.sliding_window", int, 4096),
            "soft_cap": given.one("attn_logit_softcapping", float, 50.0),
            "logit_cap": given.one("final_logit_softcapping", float, 30.0),
            "scale": (sizes["width"] / sizes["heads"])**-0.5 if large else 0.0}


def _experts(given: _Entries) -> dict[str, Any]:
    """Return what is particular to a mixture of experts."""
    count, inner = given.shape("blk.0.ffn_up_exps")[:2]
    given.only("expert_count", int, count)
    given.only("expert_feed_forward_length", int, inner)
    given.only("expert_gating_func", int, SOFTMAX)
    found = {"experts": count, "experts_per_token": given.one("expert_used_count", int),
             "expert_inner": inner, "balance": 0.0,
             "normalize_experts": given.one("expert_weights_norm", bool, given.name != "qwen2moe")}
    if given.name == "qwen2moe":
        found["shared_inner"] = given.shape("blk.0.ffn_up_shexp")[0]
        given.only("expert_shared_feed_forward_length", int, found["shared_inner"])
    return found


def _rope_scaling(given: _Entries, depth: int, theta: float) -> str:
    """Return the rule of `nn.positions` by which the file scales its rotary positions."""
    rule = given.one("rope.scaling.type", str, "linear")  # which a factor alone means
    factor = given.one("rope.scaling.factor", float, 1.0)
    if rule not in ("none", "linear", "yarn"):
        raise UserError(f"{given.name}.rope.scaling.type is {shortened(rule)}; only none, linear "
                        "and yarn are supported")
    if "rope_freqs.weight" in given.file.tensors:
        if rule != "none" and factor != 1:
            raise UserError("it scales rotary positions by rope_freqs.weight and by "
                            f"{given.name}.rope.scaling.factor; only one of them is supported")
        return _llama3(given, depth, theta)
    if rule == "none" or factor == 1:
        return ""
    words = {"factor": factor}
    if rule == "yarn":
        words["original"] = given.one("rope.scaling.original_context_length", int)
        for name in ("beta_fast", "beta_slow"):
            if (beta := given.one(f"rope.scaling.yarn_{name}", float, None)) is not None:
                words[name] = beta
    return " ".join([rule, *(f"{name}={_plain(value)}" for name, value in words.items())])


def _llama3(given: _Entries, depth: int, theta: float) -> str:
    """Return the rule that gives the factors in rope_freqs.weight; UserError where none does."""
    original = given.one("rope.scaling.original_context_length", int, ORIGINAL)
    stored = given.file.tensors["rope_freqs.weight"].floats().reshape(-1)
    if theta > 1 and 2 * len(stored) == depth and (stored == 1).all():
        return ""
    if theta > 1 and 2 * len(stored) == depth and (stored >= 1).all() and stored[-1] < math.inf:
        frequencies = theta ** (-np.arange(0, depth, 2) / depth)
        w = np.clip((original * frequencies[-1] / (2 * math.pi) - LOW) / (HIGH - LOW), 0, 1)
        rest = 1 / stored[-1] - w
        factor = float(f"{(1 - w) / rest:.5g}") if rest > 0 else 0.0
        if factor > 0 and np.allclose(
                frequencies / llama3(frequencies, original, factor, LOW, HIGH), stored, 1e-4, 0):
            return (f"llama3 factor={_plain(factor)} low={_plain(LOW)} high={_plain(HIGH)} "
                    f"original={original}")
    raise UserError(f"its rope_freqs.weight, {len(stored)} factors up to {stored.max():.6g}, are "
                    f"not those of Llama 3's rule with {original} positions, the only one that is "
                    "supported")


def _plain(x: float) -> str:
    return f"{x:.0f}" if x == int(x) else repr(x)
