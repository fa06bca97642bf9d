"""Folders of Hugging Face's: read, written, the same bytes; wrong ones are refused."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hugging_face import CONFIGS, GPT2, LETTERS, LLAMA, edit, model_of, write_folder
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from autograd import no_grad
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.models import Llama
from tinygrad_llm.nn import parameters
from tinygrad_llm.pretrained import Pretrained, from_pretrained, save_pretrained
from tinygrad_llm.pretrained.tensors import DTYPES
from tinygrad_llm.text import CharTokenizer

every_config = pytest.mark.parametrize("kind", CONFIGS)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def weights(model: Any) -> dict[str, Any]:
    return {name: p.data for name, p in parameters(model).items()}


def change_tensors(folder: Path, **changes: Any) -> None:
    """Replace tensors of a folder, `...` for none; dots in names are written as __."""
    path = folder / "model.safetensors"
    arrays = load_file(path) | {name.replace("__", "."): a for name, a in changes.items()}
    save_file({name: a for name, a in arrays.items() if a is not ...}, path, {"format": "pt"})


@every_config
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_model_is_read_as_it_was_written(kind: str, dtype: str, tmp_path: Path) -> None:
    model = model_of(CONFIGS[kind])
    tokenizer = CharTokenizer.from_text(LETTERS)
    save_pretrained(Pretrained(model, tokenizer), tmp_path / "a", dtype=dtype)
    found = from_pretrained(tmp_path / "a")
    assert found.storage == dtype and found.tokenizer is not None
    assert found.tokenizer.encode("hello.") == tokenizer.encode("hello.")
    assert found.tokenizer.decode(tokenizer.encode("a b")) == "a b"
    numbers = next(kind for kind in DTYPES.values() if np.dtype(kind).name == dtype)
    again = weights(found.model)
    for name, array in weights(model).items():
        assert again[name].dtype == np.float32
        assert (again[name] == array.astype(numbers).astype(np.float32)).all(), name
    save_pretrained(found, tmp_path / "b")
    assert files_of(tmp_path / "b") == files_of(tmp_path / "a")


@every_config
def test_both_models_say_the_same(kind: str, tmp_path: Path) -> None:
    model = model_of(CONFIGS[kind])
    save_pretrained(model, tmp_path / "a")
    again = from_pretrained(tmp_path / "a").model
    ids = np.random.default_rng(1).integers(30, size=(2, 13))
    assert (again(ids).data == model(ids).data).all()


def test_parameters_in_float64(tmp_path: Path) -> None:
    model = from_pretrained(write_folder(tmp_path / "a"), dtype="float64").model
    assert {p.dtype for p in parameters(model).values()} == {np.dtype(np.float64)}
    loss = model.loss(np.ones((1, 4), int), np.ones((1, 4), int))
    loss.backward()
    assert all(p.grad.dtype == np.float64 for p in parameters(model).values())
    with pytest.raises(UserError, match="dtype: expected float32 or float64"):
        from_pretrained(tmp_path / "a", dtype="bfloat16")


def test_tensors_of_several_types_keep_theirs(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", dtype="bfloat16")
    norm = load_file(folder / "model.safetensors")["model.norm.weight"].astype(np.float32)
    change_tensors(folder, model__norm__weight=norm)
    found = from_pretrained(folder)
    assert (found.storage, found.other) == ("bfloat16", {"model.norm.weight": "float32"})
    save_pretrained(found, tmp_path / "b")
    assert files_of(tmp_path / "b") == files_of(folder)


def test_shards(tmp_path: Path) -> None:
    one = write_folder(tmp_path / "one")
    many = write_folder(tmp_path / "many", shard_size=4000)
    assert len(list(many.glob("*.safetensors"))) > 3
    index = json.loads((many / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 4 * sum(a.size for a in weights(
        model_of(LLAMA)).values())
    ours, theirs = (weights(from_pretrained(folder).model) for folder in (one, many))
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_names_without_prefix_and_known_buffers(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", GPT2)
    arrays = load_file(folder / "model.safetensors")
    plain = {name.removeprefix("transformer."): a for name, a in arrays.items()}
    plain |= {"h.0.attn.bias": np.tril(np.ones((1, 1, 16, 16), np.float32)),
              "h.1.attn.masked_bias": np.float32([-1e4])}
    save_file(plain, folder / "model.safetensors")
    found = weights(from_pretrained(folder).model)
    assert all((found[name] == a).all() for name, a in weights(model_of(GPT2)).items())
    folder = write_folder(tmp_path / "b")
    change_tensors(folder, model__layers__0__self_attn__rotary_emb__inv_freq=np.ones(3, "f"))
    from_pretrained(folder)


def test_a_tied_head_may_be_there_if_it_is_the_table(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", replace(LLAMA, tied=True))
    table = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    change_tensors(folder, lm_head__weight=table)
    model = from_pretrained(folder).model
    assert model.head is model.wte.weight
    for other in (table + 1, table[:-1]):
        change_tensors(folder, lm_head__weight=other)
        with pytest.raises(UserError, match=r"lm_head\.weight is not the token table, though tie"):
            from_pretrained(folder)


MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"model__norm__weight": ...}, r"missing in model\.safetensors: norm\.weight"),
    ({"lm_head__weight": ...}, r"missing in model\.safetensors: lm_head\.weight"),
    ({"model__extra": np.ones(3, "f")},
     r"not in such a model: model\.extra of model\.safetensors"),
    ({"../../etc/passwd": np.ones(3, "f")}, r"not in such a model: \.\./\.\./etc/passwd"),
    ({"norm__weight": np.ones(24, "f")}, "are the same tensor"),
    ({"model__norm__weight": np.ones(23, "f")},
     r"of another shape: model\.norm\.weight of model\.safetensors, \(23,\) instead of \(24,\)"),
    ({"model__layers__0__self_attn__q_proj__weight": np.ones((24, 25), "f")}, "of another shape"),
    ({"model__layers__0__self_attn__k_proj__bias": np.ones(12, "f")}, "not in such a model"),
    ({"model__embed_tokens__weight": np.ones((31, 24), "f")},
     r"the token table .* has the shape \(31, 24\); config.json asks for \(30, 24\)"),
]


@pytest.mark.parametrize(("changes", "message"), MISFITS)
def test_a_tensor_that_does_not_fit_is_named(changes: dict[str, Any], message: str,
                                             tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a")
    change_tensors(folder, **changes)
    with pytest.raises(UserError, match=message):
        from_pretrained(folder)


def test_what_is_not_supported_is_named_with_the_file(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a")
    for changes, message in [({"hidden_act": "relu"}, "hidden_act is 'relu'"),
                             ({"hidden_act": "silu", "num_key_value_heads": 8}, "key_heads"),
                             ({"num_key_value_heads": 2, "novel": 3}, "'novel' is 3")]:
        edit(folder / "config.json", **changes)
        with pytest.raises(UserError, match=r"config\.json: .*" + message):
            from_pretrained(folder)


@pytest.mark.parametrize(("changes", "message"), [
    ({"num_hidden_layers": 4000}, "4000 layers, more than there are tensors"),
    ({"intermediate_size": 2**50}, "does not fit in memory|of another shape"),
    ({"hidden_size": 2**40}, "token table"),
    ({"num_attention_heads": 2**40, "num_key_value_heads": 2**40, "head_dim": 2},
     "does not fit in memory|of another shape"),
    ({"vocab_size": 2**62}, "token table"), ({"max_position_embeddings": 2**62}, None)])
def test_sizes_that_no_memory_holds(changes: dict[str, Any], message: str | None,
                                    tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a")
    edit(folder / "config.json", **changes)
    if message is None:
        assert from_pretrained(folder).model.config.context == 2**62
        return
    with pytest.raises(UserError, match=message):
        from_pretrained(folder)


def test_files_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no config\.json"):
        from_pretrained(tmp_path / "nowhere")
    folder = write_folder(tmp_path / "a")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="is a pickle"):
        from_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    assert from_pretrained(folder).tokenizer is None


def test_a_tokenizer_with_more_ids_than_rows_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a")
    CharTokenizer.from_text(LETTERS + "1234").save(folder / "tokenizer.json", "huggingface")
    with pytest.raises(UserError, match=r"ids up to 32, .* 30 rows"):
        from_pretrained(folder)


@pytest.mark.parametrize(("name", "content"), [
    ("chat_template.jinja", b"\xff"), ("chat_template.json", b"{"),
    ("chat_template.json", b'{"chat_template": 3}'), ("generation_config.json", b"[]"),
    ("tokenizer_config.json", b'{"chat_template": {}}'), ("tokenizer.json", b"{}"),
    ("config.json", b"[]"), ("config.json", b"{"), ("config.json", b"\xff\xfe"),
    ("config.json", b'{"model_type": "llama", "model_type": "llama"}'),
    ("config.json", b"[" * 100_000)])
def test_a_damaged_file_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a")
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        from_pretrained(folder)


def test_another_dtype_is_noted(tmp_path: Path) -> None:
    found = from_pretrained(write_folder(tmp_path / "a"))
    save_pretrained(found, tmp_path / "b", dtype="bfloat16")
    assert from_pretrained(tmp_path / "b").config["torch_dtype"] == "bfloat16"
    with pytest.raises(UserError, match="dtype: expected float64, float32, bfloat16, float16"):
        save_pretrained(found, tmp_path / "c", dtype="int8")
    with pytest.raises(UserError, match="shard_size must be at least 1"):
        save_pretrained(found, tmp_path / "c", shard_size=0)
    assert not (tmp_path / "c").exists()


def test_weights_beyond_float16_are_refused(tmp_path: Path) -> None:
    model = model_of(LLAMA)
    model.norm_f.weight.data[3] = 1e5
    with pytest.raises(UserError, match=r"model\.norm\.weight has weights beyond the range"):
        save_pretrained(model, tmp_path / "a", dtype="float16")
    assert not (tmp_path / "a" / "config.json").exists()
    save_pretrained(model, tmp_path / "a", dtype="bfloat16")
    model.norm_f.weight.data[3] = np.inf
    save_pretrained(model, tmp_path / "b", dtype="float16")


def test_a_folder_with_a_model_is_not_overwritten(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a")
    before = files_of(folder)
    with pytest.raises(UserError, match="holds a model already"):
        save_pretrained(model_of(LLAMA, seed=4), folder)
    assert files_of(folder) == before


def test_biases_that_a_gpt_does_without_are_written_as_zeros(tmp_path: Path) -> None:
    model = model_of(replace(GPT2, bias=False))
    save_pretrained(model, tmp_path / "a")
    again = from_pretrained(tmp_path / "a").model
    ids = np.random.default_rng(1).integers(30, size=(2, 13))
    assert again.config.bias and np.allclose(again(ids).data, model(ids).data, atol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"qk_norm": True, "head_width": 10},
                                     {"qkv_bias": True, "rope_scaling": "linear factor=4.0"}])
def test_neighbouring_rotary_pairs_are_written_as_halves(changes: Any, tmp_path: Path) -> None:
    model = model_of(replace(LLAMA, rotary_interleaved=True, **changes))
    save_pretrained(model, tmp_path / "a")
    again = from_pretrained(tmp_path / "a").model
    ids = np.random.default_rng(1).integers(30, size=(2, 13))
    assert not again.config.rotary_interleaved
    assert np.allclose(again(ids).data, model(ids).data, atol=1e-5)
    assert not np.allclose(again(ids).data, model_of(replace(LLAMA, **changes))(ids).data, atol=0.1)


def test_there_is_no_second_copy_of_the_weights(tmp_path: Path) -> None:
    config = replace(LLAMA, vocab_size=31, layers=12, width=128, heads=4, inner=512)
    model = Llama(config)
    size = sum(a.nbytes for a in weights(model).values())
    largest = max(a.nbytes for a in weights(model).values())
    for action, allowed in (
            (lambda: save_pretrained(model, tmp_path / "a", dtype="bfloat16"), 0),
            (lambda: from_pretrained(tmp_path / "a"), size)):
        tracemalloc.start()
        action()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < allowed + 2 * largest + 300_000, (peak, size)


def test_a_model_that_is_read_draws_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    folder = write_folder(tmp_path / "a")
    monkeypatch.setattr(np.random, "Generator", None)
    from_pretrained(folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("small") / "a", dtype="bfloat16")


JSON = st.recursive(st.none() | st.booleans() | st.integers(-2**70, 2**70) | st.floats()
                    | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=4)
NAMES = ["hidden_size", "num_hidden_layers", "rope_scaling", "rope_theta", "head_dim", "vocab_size",
         "tie_word_embeddings", "num_attention_heads", "model_type", "rms_norm_eps",
         "max_position_embeddings", "hidden_act", "architectures", "torch_dtype", "rope_parameters"]


@given(name=st.sampled_from(NAMES), value=JSON)
def test_no_field_brings_it_down(small: Path, name: str, value: Any) -> None:
    text = (small / "config.json").read_bytes()
    try:
        edit(small / "config.json", **{name: value})
        found = from_pretrained(small)
        with no_grad():
            found.model(np.zeros((1, 2), int))
    except UserError:
        pass
    finally:
        (small / "config.json").write_bytes(text)


def test_bfloat16_is_rounded_to_the_nearest() -> None:
    x = np.float32([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20])
    assert x.astype(ml_dtypes.bfloat16).tolist() == [1.0, 1.015625, 1.0078125]
