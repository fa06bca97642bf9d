"""Models read from GGUF files that were written by hand from ours."""

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_files import Coded, gguf_bytes, write
from gguf_models import CONFIGS, gpt2, llama_metadata, llama_tensors, write_llama
from gguf_models import llama as small_llama
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.models import Llama, LlamaConfig
from tinygrad_llm.nn import parameters
from tinygrad_llm.pretrained import from_pretrained, save_pretrained
from tinygrad_llm.pretrained.gguf.models import read_gguf

IDS = np.random.default_rng(0).integers(0, 11, (2, 9))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def assert_same(model: Any, expected: Any) -> None:
    own, theirs = parameters(model), parameters(expected)
    assert own.keys() == theirs.keys()
    for name, p in own.items():
        assert np.array_equal(p.data, theirs[name].data), name
    assert np.array_equal(model(IDS).data, expected(IDS).data)


@pytest.mark.parametrize("case", CONFIGS)
def test_each_architecture(path: Path, case: str) -> None:
    expected = write_llama(path, case)
    found = read_gguf(path)
    config, wanted = asdict(found.model.config), asdict(expected.config)
    assert config == wanted | {"inner": config["inner"]}
    assert found.model.config.inner == (0 if expected.config.experts else 20)
    assert_same(found.model, expected)
    assert (found.tokenizer, found.generation, found.chat_template) == (None, {}, None)
    assert found.storage == "float32"


def test_from_pretrained_takes_the_file_or_its_folder(path: Path) -> None:
    expected = write_llama(path, "llama")
    assert_same(from_pretrained(path).model, expected)
    assert_same(from_pretrained(path.parent).model, expected)
    path.with_name("b.gguf").write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=r"has 2 GGUF files; .* such as .*b.gguf"):
        from_pretrained(path.parent)


def test_gpt2(path: Path) -> None:
    model, metadata, tensors = gpt2()
    write(path, metadata, tensors)
    assert_same(read_gguf(path).model, model)
    write(path, metadata, tensors | {"output.weight": tensors["token_embd.weight"]})
    assert_same(read_gguf(path).model, model)
    write(path, metadata, tensors | {"output.weight": tensors["token_embd.weight"] + 1})
    with pytest.raises(UserError, match=r"its output.weight is not its token_embd.weight"):
        read_gguf(path)


def test_float64(path: Path) -> None:
    expected = write_llama(path, "llama")
    model = read_gguf(path, dtype="float64").model
    for name, p in parameters(model).items():
        assert p.dtype == p.data.dtype == np.float64
        assert np.array_equal(p.data, parameters(expected)[name].data)
    assert np.allclose(model(IDS).data, expected(IDS).data, atol=1e-4)
    with pytest.raises(UserError, match="dtype: expected float32 or float64"):
        read_gguf(path, dtype="float16")


def half_file(path: Path, case: str) -> Any:
    """Write a file whose matrices are float16; return the model."""
    name, model = small_llama(case)
    halves = {key: Coded(array.astype("<f2").tobytes(), 1, array.shape)
              for key, array in llama_tensors(name, model).items() if array.ndim > 1}
    return write_llama(path, case, tensors=halves)


def test_the_storage_is_that_of_the_file(path: Path) -> None:
    """So an export has the same numbers in the same types."""
    expected = half_file(path, "llama")
    found = read_gguf(path)
    assert_same(found.model, expected)
    norms = {f"model.layers.{i}.{name}layernorm.weight": "float32"
             for i in range(2) for name in ("input_", "post_attention_")}
    assert (found.storage, found.other) == ("float16", norms | {"model.norm.weight": "float32"})
    save_pretrained(found, path.parent / "folder")
    again = from_pretrained(path.parent / "folder")
    assert_same(again.model, expected)
    assert (again.storage, dict(again.other)) == (found.storage, found.other)


def test_the_storage_of_quantized_or_packed_tensors_is_float32(path: Path) -> None:
    half_file(path, "qwen3moe")
    assert (read_gguf(path).storage, read_gguf(path).other) == ("float32", {})
    table = Coded(bytes(34 * 11), 8, (11, 32))
    write(path, *wide_qwen(table))
    assert read_gguf(path).storage == "float32"


def wide_qwen(table: Coded) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a file's content whose token table, 32 wide, is quantized and all else is float32."""
    settings = CONFIGS["qwen3"][1] | {"width": 32, "layers": 1}
    model = Llama(LlamaConfig(**settings))
    return (llama_metadata("qwen3", model.config),
            llama_tensors("qwen3", model) | {"token_embd.weight": table})


def test_a_gate_of_one_row_may_have_lost_its_first_axis(path: Path) -> None:
    _, model = small_llama("qwen2moe")
    gates = {f"blk.{i}.ffn_gate_inp_shexp.weight": model.h[i].mlp.shared_gate.weight.data[0]
             for i in range(2)}
    write_llama(path, "qwen2moe", tensors=gates)
    assert_same(read_gguf(path).model, model)


def test_rows_that_end_inside_a_block(path: Path) -> None:
    """A bias of 24 numbers as one block and a half would be refused, one of 32 is whole."""
    q = np.arange(-16, 16, dtype=np.int8)
    bias = Coded(b"\0\x2c" + q.tobytes(), 8, (32,))  # 1 / 16
    half = np.zeros((32, 24), np.float32)
    sizes = {"llama.attention.key_length": 8}
    tensors = {key.replace("$", str(i)): value for i in range(2) for key, value in {
        "blk.$.attn_q.weight": half, "blk.$.attn_q.bias": bias,
        "blk.$.attn_k.weight": half[:16], "blk.$.attn_k.bias": np.zeros(16),
        "blk.$.attn_v.weight": half[:16], "blk.$.attn_v.bias": np.zeros(16),
        "blk.$.attn_output.weight": half.T}.items()}
    write_llama(path, "llama", sizes, tensors)
    found = read_gguf(path).model.h[1].attn.qkv.bias.data[:8]
    assert found.tolist() == (np.arange(-16, -8)[[0, 2, 4, 6, 1, 3, 5, 7]] / 16).tolist()


TOKENS = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ["<unk>", *"abcdefghijk"],
          "tokenizer.ggml.scores": [0.5] * 12, "tokenizer.ggml.token_type": [2] + [1] * 11}


def test_tokenizer_generation_and_chat_template(path: Path) -> None:
    tokens = {key: v if isinstance(v, str) else v[:-1] for key, v in TOKENS.items()}
    write_llama(path, "llama", tokens | {"tokenizer.ggml.eos_token_id": 3,
                                         "tokenizer.chat_template": "{{ x }}"})
    found = read_gguf(path)
    assert found.tokenizer is not None and found.tokenizer.vocab_size == 11
    assert found.generation == {"eos_token_id": 3} and found.chat_template == "{{ x }}"


W = np.zeros((24, 24), np.float32)
FAULTS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("llama", {"llama.block_count": 3}, {}, "missing: 'blk.2.attn_norm.weight'.* more"),
    ("llama", {"llama.block_count": 1}, {}, "not in such a model: 'blk.1.*more"),
    ("llama", {}, {"blk.0.attn_v.weight": None}, "missing: 'blk.0.attn_v.weight'"),
    ("llama", {}, {"blk.0.attn_v.weight": W}, r"attn_v.weight \(24, 24\) instead of \(12, 24\)"),
    ("llama", {}, {"blk.0.secret.weight": W}, "not in such a model: 'blk.0.secret.weight'"),
    ("llama", {}, {"blk.0.attn_q.bias": np.ones(24)}, "missing: 'blk.1.attn_q.bias'"),
    ("llama", TOKENS, {}, "ids up to 11"),
    ("llama", {"tokenizer.ggml.model": "bert"}, {}, "of the kind 'bert'"),
]

@pytest.mark.parametrize("place", range(len(FAULTS)))
def test_each_fault_is_named(path: Path, place: int) -> None:
    case, metadata, tensors, message = FAULTS[place]
    write_llama(path, case, metadata, tensors)
    with pytest.raises(UserError, match=message) as error:
        read_gguf(path)
    assert "model.gguf" in str(error.value)


def whole_file() -> bytes:
    """Return a small model's file with a tokenizer, and an entry of each kind."""
    name, model = small_llama("llama")
    tokens = {key: v if isinstance(v, str) else v[:-1] for key, v in TOKENS.items()}
    return gguf_bytes(llama_metadata(name, model.config) | tokens | {
        "tokenizer.ggml.eos_token_id": 3, "tokenizer.ggml.add_eos_token": True,
        "llama.rope.scaling.factor": 2.0}, llama_tensors(name, model))


WHOLE = whole_file()
HEADER = len(WHOLE) - 4 * sum(p.data.size for p in parameters(small_llama("llama")[1]).values())


@given(changes=st.lists(st.tuples(st.integers(0, HEADER), st.integers(0, 255)), min_size=1,
                        max_size=3))
def test_changed_bytes_are_a_user_error_or_harmless(
        tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]) -> None:
    path = tmp_path_factory.getbasetemp() / "changed.gguf"
    changed = bytearray(WHOLE)
    for place, byte in changes:
        changed[place] = byte
    path.write_bytes(changed)
    with contextlib.suppress(UserError):
        read_gguf(path)
