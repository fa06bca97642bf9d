"""Models out of GGUF files against transformers' with the same weights, there and back.

The files are written by the package `gguf`, with its names, from transformers' weights: laid out as
llama.cpp's converter lays them out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_files import smollm2

from autograd import no_grad
from tinygrad_llm.nn import parameters
from tinygrad_llm.pretrained import save_pretrained
from tinygrad_llm.pretrained.gguf.file import open_gguf
from tinygrad_llm.pretrained.gguf.models import read_gguf

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
gguf = pytest.importorskip("gguf")
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

from transformers_models import transformers  # noqa: E402

SIZES: dict[str, Any] = {"vocab_size": 67, "hidden_size": 64, "intermediate_size": 96,
                         "num_hidden_layers": 2, "num_attention_heads": 4,
                         "num_key_value_heads": 2, "max_position_embeddings": 64}
EXPERTS = {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 8192, "rope_theta": 500000.0}
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {  # their type, GGUF's, settings
    "llama": ("llama", "llama", {**SIZES, "rope_theta": 1000.0, "tie_word_embeddings": False}),
    "llama, tied, all biases": ("llama", "llama", {
        **SIZES, "tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True,
        "head_dim": 32}),
    "llama 3": ("llama", "llama", {**SIZES, "rope_parameters": LLAMA3}),
    "mistral": ("mistral", "llama", {**SIZES, "sliding_window": None}),
    "mistral, window": ("mistral", "llama", {**SIZES, "sliding_window": 5}),
    "mixtral": ("mixtral", "llama", {**SIZES, "num_local_experts": 5}),
    "qwen2": ("qwen2", "qwen2", {**SIZES, "rope_theta": 1e6}),
    "qwen2, yarn": ("qwen2", "qwen2", {**SIZES, "rope_parameters": {
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16,
        "rope_theta": 500.0}}),
    "qwen3": ("qwen3", "qwen3", {**SIZES, "head_dim": 32}),
    "qwen2_moe": ("qwen2_moe", "qwen2moe", {**SIZES, **EXPERTS, "norm_topk_prob": False,
                                            "shared_expert_intermediate_size": 64}),
    "qwen3_moe": ("qwen3_moe", "qwen3moe", {**SIZES, **EXPERTS, "norm_topk_prob": True,
                                            "head_dim": 16}),
    "gemma2": ("gemma2", "gemma2", {
        **SIZES, "head_dim": 32, "sliding_window": 5, "query_pre_attn_scalar": 32,
        "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0, "pad_token_id": None}),
    "gpt2": ("gpt2", "gpt2", {"vocab_size": 67, "n_positions": 64, "n_embd": 64, "n_layer": 2,
                              "n_head": 4, "bos_token_id": 1, "eos_token_id": 1}),
}
every_case = pytest.mark.parametrize("case", CASES)
IDS = np.random.default_rng(5).integers(67, size=(2, 23))


def their_model(case: str) -> Any:
    """Return a model of transformers' in which no bias is 0 and no norm is 1.

    Numbers have few bits, so that Gemma's 1 can be added and subtracted exactly.
    """
    torch.manual_seed(3)
    kind, _, settings = CASES[case]
    config = transformers.AutoConfig.for_model(kind, **settings)
    config._experts_implementation = "eager"
    attention = "eager" if kind == "gemma2" else "sdpa"
    model = transformers.AutoModelForCausalLM.from_config(
        config, attn_implementation=attention).double().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            z = torch.randn(p.shape, dtype=p.dtype) * (0.3 if p.ndim == 1 else p.shape[-1]**-0.5)
            z += 1.0 if (p.ndim == 1 and "norm" in name) or "ln_" in name else 0.0
            p.copy_(torch.round(z * 4096) / 4096)
    return model


def converted(name: str, model: Any) -> dict[str, np.ndarray]:
    """Return the weights under GGUF's names, laid out as llama.cpp's converter does."""
    c = model.config
    names = gguf.get_tensor_name_map(
        next(arch for arch, n in gguf.MODEL_ARCH_NAMES.items() if n == name), c.num_hidden_layers)
    found: dict[str, np.ndarray] = {}
    for key, p in model.state_dict().items():
        w = p.float().numpy()
        if ".experts." in key:
            layer = key.split(".")[2]
            parts = {"gate_up_proj": ("gate", "up"), "down_proj": ("down",)}[key.split(".")[-1]]
            for part, array in zip(parts, np.split(w, len(parts), axis=1), strict=True):
                found[f"blk.{layer}.ffn_{part}_exps.weight"] = array
            continue
        if c.tie_word_embeddings and key == "lm_head.weight":
            continue
        if ".c_" in key and key.endswith("weight"):
            w = w.T
        if name == "llama" and ("q_proj" in key or "k_proj" in key):
            heads = c.num_attention_heads if "q_proj" in key else c.num_key_value_heads
            w = w.reshape(heads, 2, -1, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)
        if name == "gemma2" and key.endswith("norm.weight"):
            w = w + 1
        theirs = names.get_name(key, try_suffixes=(".weight", ".bias"))
        assert theirs is not None, key
        found[theirs] = np.ascontiguousarray(w)
    return found


def write_file(path: Path, case: str, model: Any, kind: str = "F32") -> None:
    """Write the model as GGUF; matrices are quantized to `kind` where their rows are whole blocks.
    """
    _, name, settings = CASES[case]
    c, writer = model.config, gguf.GGUFWriter(path, name)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_head_count(c.num_attention_heads)
    tensors = converted(name, model)
    if name == "gpt2":
        writer.add_feed_forward_length(4 * c.n_embd)
        writer.add_layer_norm_eps(c.layer_norm_epsilon)
    else:
        writer.add_feed_forward_length(c.intermediate_size)
        writer.add_vocab_size(c.vocab_size)
        writer.add_head_count_kv(c.num_key_value_heads)
        writer.add_layer_norm_rms_eps(c.rms_norm_eps)
        head = settings.get("head_dim") or c.hidden_size // c.num_attention_heads
        writer.add_key_length(head)
        writer.add_value_length(head)
        writer.add_rope_dimension_count(head)
        rope = c.rope_parameters
        writer.add_rope_freq_base(rope["rope_theta"])
        if rope["rope_type"] == "yarn":
            writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
            writer.add_rope_scaling_factor(rope["factor"])
            writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        if rope["rope_type"] == "llama3":
            tensors["rope_freqs.weight"] = llama3_factors(head, rope)
        if settings.get("sliding_window"):
            writer.add_sliding_window(c.sliding_window)
        if name == "gemma2":
            writer.add_attn_logit_softcapping(c.attn_logit_softcapping)
            writer.add_final_logit_softcapping(c.final_logit_softcapping)
        if experts := settings.get("num_experts") or settings.get("num_local_experts"):
            writer.add_expert_count(experts)
            writer.add_expert_used_count(c.num_experts_per_tok)
            if "moe_intermediate_size" in settings:
                writer.add_expert_feed_forward_length(c.moe_intermediate_size)
    for key, array in tensors.items():
        type = gguf.GGMLQuantizationType[kind if array.ndim > 1 else "F32"]
        writer.add_tensor(key, gguf.quantize(array, type), raw_dtype=type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama3_factors(head: int, rope: dict[str, Any]) -> np.ndarray:
    """Return what the converter writes for Llama 3's rule, from transformers' frequencies."""
    plain = 1 / rope["rope_theta"] ** (torch.arange(0, head, 2, dtype=torch.int64).float() / head)
    config = transformers.LlamaConfig(head_dim=head, max_position_embeddings=64,
                                      rope_parameters=dict(rope))
    scaled = transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")[0]
    factors: np.ndarray = (plain / scaled).numpy()
    return factors


def logits(model: Any) -> np.ndarray:
    with torch.no_grad():
        found: np.ndarray = model(input_ids=torch.from_numpy(IDS)).logits.double().numpy()
    return found


def close(ours: Any, theirs: np.ndarray) -> bool:
    return bool(abs(ours - theirs).max() < 2e-6 * abs(theirs).max())


@every_case
def test_logits_and_the_way_back(case: str, tmp_path: Path) -> None:
    """What is read and exported has transformers' weights again, to the bit."""
    theirs = their_model(case)
    write_file(tmp_path / "model.gguf", case, theirs)
    found = read_gguf(tmp_path / "model.gguf", dtype="float64")
    expected = logits(theirs)
    assert close(found.model(IDS).data, expected)
    save_pretrained(read_gguf(tmp_path / "model.gguf"), tmp_path / "folder")
    again = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "folder", dtype=torch.float32, attn_implementation="eager",
        experts_implementation="eager").eval()
    assert close(logits(again.double()), expected)
    states = again.state_dict()
    assert all(torch.equal(p, states[key]) for key, p in theirs.state_dict().items())


@every_case
@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1"])
def test_quantized_files(case: str, kind: str, tmp_path: Path) -> None:
    """They give what a file of the dequantized numbers gives, which those above are held to."""
    theirs = their_model(case)
    write_file(tmp_path / "model.gguf", case, theirs, kind)
    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    plain = read_gguf(tmp_path / "model.gguf").model
    assert {t.tensor_type.name for t in reader.tensors} == {"F32", kind}
    numbers = {t.name: gguf.dequantize(t.data, t.tensor_type).reshape(t.shape[::-1])
               for t in reader.tensors}
    assert all(np.array_equal(t.floats(), numbers[name])
               for name, t in open_gguf(tmp_path / "model.gguf").tensors.items())
    write_dequantized(tmp_path, case, theirs, numbers)
    expected = parameters(read_gguf(tmp_path / "floats.gguf").model)
    assert all(np.array_equal(p.data, expected[name].data)
               for name, p in parameters(plain).items())


def write_dequantized(folder: Path, case: str, model: Any, numbers: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "converted", lambda name, model: {
            key: array for key, array in numbers.items() if key != "rope_freqs.weight"})
        write_file(folder / "floats.gguf", case, model)


GREEDY = [7042, 30, 198, 198, 504, 2988, 314, 42, 216, 34, 32, 33, 40, 29, 32, 33, 29, 34, 34, 216,
          33, 34, 42, 33, 34, 42, 37, 35, 30, 2]


def greedy(model: Any, ids: list[int]) -> list[int]:
    """Return the likeliest token after the ids, as many times as there are in GREEDY."""
    out: list[int] = []
    cache = model.cache()
    with no_grad():
        while len(out) < len(GREEDY):
            row = model.next_logits(np.array([ids + out])[:, cache.length:], cache).data[0]
            out.append(int(row.argmax()))
    return out


@pytest.mark.long
def test_smollm2_says_what_it_says_in_transformers(tmp_path: Path) -> None:
    """The text after "The capital of France is", here and from the exported folder there."""
    found = read_gguf(smollm2())
    assert found.tokenizer is not None
    ids = found.tokenizer.encode("The capital of France is")
    assert greedy(found.model, ids) == GREEDY
    assert found.generation == {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    assert found.chat_template is not None and "<|im_start|>" in found.chat_template
    save_pretrained(found, tmp_path / "folder")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "folder", dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "folder")
    for text in ("The capital of France is", "\n\n123", "<|im_start|>user\nHi<|im_end|>"):
        assert tokenizer(text)["input_ids"] == found.tokenizer.encode(text, special="allow")
    written = theirs.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=len(GREEDY))
    assert written[0, len(ids):].tolist() == GREEDY
    weights = converted("llama", theirs)
    for tensor in gguf.GGUFReader(smollm2()).tensors:
        w = gguf.dequantize(tensor.data, tensor.tensor_type)
        assert np.array_equal(weights.pop(tensor.name), w), tensor.name
    assert not weights
