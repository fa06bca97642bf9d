r"""The model in a GGUF file: its tensors, read one at a time into the places that they have here.

A tensor has a name of its own in GGUF (`blk.0.attn_q.weight`) and another one in Hugging Face's
files, for which `places` says where it lies in our parameters. Three kinds are read otherwise:

- Of the architecture llama, pairs to rotate are neighbours, so the rows of q and k stand in another
  order: row $2i + s$ of a head, $s \in \{0, 1\}$, is row $i + s D/2$ of ours.
- Gemma's norms have the 1 in them that ours and Hugging Face's add. It is subtracted: exactly,
  where the sum was exact.
- The experts of a layer are one tensor (E, F, C) for all gates, one for all that these multiply.

Source: llama-model.cpp and convert_hf_to_gguf.py of llama.cpp.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autograd import Tensor
from autograd.backend import Array

from ...host.errors import UserError, shortened
from ...models import LanguageModel
from ..places import places
from ..pretrained import Pretrained, check_ids, check_kind, empty_model, parameters_of
from .configs import read_config
from .file import GGUFFile, StoredTensor, open_gguf
from .tokenizer import read_chat_template, read_generation, read_tokenizer

GPT2 = {
    "token_embd": "transformer.wte", "position_embd": "transformer.wpe",
    "output_norm": "transformer.ln_f", "attn_norm": "ln_1", "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj", "ffn_norm": "ln_2", "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj"}
LLAMA = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "attn_output": "self_attn.o_proj",
    **{f"attn_{x}": f"self_attn.{x}_proj" for x in "qkv"},
    **{f"attn_{x}_norm": f"self_attn.{x}_norm" for x in "qk"},
    "ffn_norm": "post_attention_layernorm", "ffn_gate_inp": "mlp.gate",
    **{f"ffn_{x}": f"mlp.{x}_proj" for x in ("gate", "up", "down")},
    **{f"ffn_{x}_shexp": f"mlp.shared_expert.{x}_proj" for x in ("gate", "up", "down")},
    "ffn_gate_inp_shexp": "mlp.shared_expert_gate"}
GEMMA2 = LLAMA | {
    "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm"}
"""What a GGUF tensor is called in Hugging Face's files, without its layer and its kind."""

NAMES = {"gpt2": GPT2, "gemma2": GEMMA2}  # of all others LLAMA
TOP = ("transformer.", "model.", "lm_head")
"""The beginnings of the names of tensors that belong to no layer."""
ROPE = "rope_freqs.weight"  # which is read as a part of the configuration
STORAGE = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def read_gguf(path: str | Path, dtype: str = "float32") -> Pretrained:
    """Return the model in the GGUF file `path`, with its tokenizer, settings and chat template.

    dtype: that of the parameters, float32 or float64. The storage is that of the file, float32 for
    numbers that were quantized. Raises UserError where the file is damaged, asks for what is not
    supported, or has other tensors than its model.
    """
    check_kind(dtype)
    file = open_gguf(path)
    try:
        model = empty_model(read_config(file), dtype)
        tokenizer = read_tokenizer(file.metadata)
        generation = read_generation(file.metadata)
        template = read_chat_template(file.metadata)
        storage, other = _storage(_read_weights(file, model))
    except (ValueError, MemoryError) as error:
        reason = str(error) or "it takes more memory than there is"
        raise UserError(f"{path} cannot be used as a model: {reason}") from error
    if tokenizer is not None:
        check_ids(tokenizer, model, Path(path))
    return Pretrained(model, tokenizer, generation, template, storage, other)


def _storage(kinds: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return the type of most tensors, and the others, of types by Hugging Face's names.

    All are float32 where some are quantized, or are packed as Hugging Face's are not.
    """
    if "" in kinds or set(kinds.values()) - STORAGE.keys():
        return "float32", {}
    most = Counter(kinds.values()).most_common(1)[0][0]
    return STORAGE[most], {hf: STORAGE[kind] for hf, kind in kinds.items() if kind != most}


def _read_weights(file: GGUFFile, model: LanguageModel) -> dict[str, str]:
    """Read the tensors into the model; return their types by Hugging Face's names.

    Raises UserError where they are not those of such a model.
    """
    name, own = file.metadata["general.architecture"], parameters_of(model)
    views = list(_views(name, model.config, own))
    tensors = {key: tensor for key, tensor in file.tensors.items() if key != ROPE}
    head = tensors.pop("output.weight", None) if name == "gpt2" else None
    _check_fit(tensors, {key: view.shape for key, _, view in views})
    for key, _, view in views:
        tensors[key].read_into(_in_order(name, key, view, model.config))
        if name == "gemma2" and key.endswith("norm.weight"):
            with np.errstate(invalid="ignore"):  # of what is no number
                view -= 1
    if head is not None and not np.array_equal(head.floats(), own["wte.weight"].data,
                                               equal_nan=True):
        raise UserError("its output.weight is not its token_embd.weight, which it is in GPT-2; "
                        "take a file in which both are of the same type")
    return {hf: tensors[key].kind for key, hf, _ in views}


def _views(name: str, config: Any, own: Mapping[str, Tensor]) -> Iterator[tuple[str, str, Array]]:
    """Yield the tensors of such a model, with Hugging Face's name for each and its place here."""
    where, block = places(config, own), "transformer.h" if name == "gpt2" else "model.layers"
    for theirs, hf in NAMES.get(name, LLAMA).items():
        for kind in ("weight", "bias"):
            names = {f"{theirs}.{kind}": f"{hf}.{kind}"} if hf.startswith(TOP) else {
                f"blk.{i}.{theirs}.{kind}": f"{block}.{i}.{hf}.{kind}"
                for i in range(config.layers)}
            for key, other in names.items():
                if other in where:  # no place is turned over: matrices are (outputs, inputs) here
                    place = where[other]
                    yield key, other, own[place.parameter].data[place.index]
    for i in range(config.layers if "h.0.mlp.gate_up" in own else 0):
        gate_up, inner = own[f"h.{i}.mlp.gate_up"].data, config.expert_inner
        yield f"blk.{i}.ffn_gate_exps.weight", "", gate_up[:, :inner]
        yield f"blk.{i}.ffn_up_exps.weight", "", gate_up[:, inner:]
        yield f"blk.{i}.ffn_down_exps.weight", "", own[f"h.{i}.mlp.down"].data


def _in_order(name: str, key: str, view: Array, config: Any) -> Array:
    """Return a view of which the rows are in the order that they have in the file."""
    if name != "llama" or not re.fullmatch(r"blk\.\d+\.attn_[qk]\.\w+", key):
        return view
    return view.reshape(-1, 2, config.depth // 2, *view.shape[1:]).swapaxes(1, 2)


def _check_fit(tensors: Mapping[str, StoredTensor], wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Raise UserError unless the file has the tensors that are wanted, in their shapes."""
    lists = {
        "missing": [key for key in wanted if key not in tensors],
        "not in such a model": [key for key in tensors if key not in wanted],
        "of another shape": [f"{key} {tensors[key].shape} instead of {shape}"
                             for key, shape in wanted.items() if key in tensors
                             and _bare(tensors[key].shape) != _bare(shape)]}
    faults = [f"{what}: {', '.join(map(shortened, names[:3]))}"
              + (f" and {len(names) - 3} more" if len(names) > 3 else "")
              for what, names in lists.items() if names]
    if faults:
        raise UserError(f"its tensors are not those of its model; {'; '.join(faults)}")


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without axes of 1 before the others, which do not count in GGUF."""
    return _bare(shape[1:]) if shape[:1] == (1,) and len(shape) > 1 else shape
