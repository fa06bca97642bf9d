"""Folders against transformers: it writes and we read, we write and it reads; the same bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_llm.pretrained import from_pretrained, save_pretrained
from tinygrad_llm.pretrained.configs import read_config
from tinygrad_llm.text import CharTokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

from transformers_models import CASES, config_of, model_of  # noqa: E402

every_case = pytest.mark.parametrize("case", CASES)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def logits(model: Any) -> Any:
    ids = torch.from_numpy(np.random.default_rng(3).integers(67, size=(2, 19)))
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits


def load(folder: Path) -> Any:
    """Return transformers' model of a folder, once nothing in it is missing or superfluous."""
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager",
        experts_implementation="eager")
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model


@every_case
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bytes_after_a_round_trip(case: str, dtype: str, tmp_path: Path) -> None:
    model_of(case).to(DTYPES[dtype]).save_pretrained(tmp_path / "theirs")
    found = from_pretrained(tmp_path / "theirs")
    assert found.storage == dtype and not found.other
    save_pretrained(found, tmp_path / "ours")
    for path in (tmp_path / "theirs").iterdir():
        assert (tmp_path / "ours" / path.name).read_bytes() == path.read_bytes(), path.name
    assert len(list((tmp_path / "theirs").iterdir())) == len(list((tmp_path / "ours").iterdir()))


@every_case
def test_transformers_loads_a_model_without_a_history(case: str, tmp_path: Path) -> None:
    """config.json is made from our configuration alone, in float64: the same logits to the bit."""
    theirs = model_of(case)
    theirs.save_pretrained(tmp_path / "theirs")
    save_pretrained(from_pretrained(tmp_path / "theirs", dtype="float64").model, tmp_path / "ours",
                    dtype="float64")
    again = load(tmp_path / "ours")
    assert torch.equal(logits(again), logits(load(tmp_path / "theirs")))
    written = json.loads((tmp_path / "ours" / "config.json").read_text())
    kind = CASES[case][0] if case != "mistral, no window" else "llama"  # which it then is
    assert written["model_type"] == kind and written["architectures"] == [type(again).__name__]
    ours, wanted = again.config.to_dict(), theirs.config.to_dict()
    different = {key for key in ours.keys() & wanted.keys() if ours[key] != wanted[key]}
    assert different <= {"bos_token_id", "eos_token_id", "pad_token_id", "_name_or_path",
                         "architectures", "head_dim", "max_window_layers",
                         *(["model_type"] if kind == "llama" else [])}, different


@pytest.mark.parametrize("case", ["gpt2", "llama, grouped heads", "llama, tied", "gemma2"])
@pytest.mark.parametrize("size", ["5KB", "20KB"])
def test_shards_are_cut_as_transformers_cuts_them(case: str, size: str, tmp_path: Path) -> None:
    theirs = model_of(case).to(torch.bfloat16)
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size=size)
    found = from_pretrained(tmp_path / "theirs")
    save_pretrained(found, tmp_path / "ours", shard_size=1000 * int(size[:-2]))
    names = sorted(path.name for path in (tmp_path / "theirs").iterdir())
    assert len(names) > 4
    for name in names:
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()
    assert torch.equal(logits(load(tmp_path / "ours")), logits(load(tmp_path / "theirs")))


@pytest.mark.parametrize("case", ["qwen3_moe", "mixtral", "qwen2, windows above"])
def test_shards_stay_as_they_were(case: str, tmp_path: Path) -> None:
    model_of(case).to(torch.bfloat16).save_pretrained(tmp_path / "theirs", max_shard_size="20KB")
    save_pretrained(from_pretrained(tmp_path / "theirs"), tmp_path / "ours")
    names = sorted(path.name for path in (tmp_path / "theirs").iterdir())
    assert len(names) > 4
    for name in names:
        assert (tmp_path / "ours" / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes()


def test_the_tokenizer_and_its_template(tmp_path: Path) -> None:
    from hugging_face import LETTERS, write_folder

    tokenizer = CharTokenizer.from_text(LETTERS)
    template = "{% for m in messages %}{{ m.role }} {{ m.content }}.{% endfor %}"
    found = replace(from_pretrained(write_folder(tmp_path / "a")), files={}, config={},
                    chat_template=template, generation={"eos_token_id": 3})
    save_pretrained(found, tmp_path / "b")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "b")
    assert theirs("hello .").input_ids == tokenizer.encode("hello .")
    assert theirs.decode(tokenizer.encode("hello .")) == "hello ."
    chat = [{"role": "user", "content": "hi"}]
    assert theirs.apply_chat_template(chat, tokenize=False) == "user hi."
    assert (theirs.eos_token, theirs.eos_token_id) == (tokenizer.token(3), 3)
    assert load(tmp_path / "b").generation_config.eos_token_id == 3


@pytest.mark.parametrize("case", ["gpt2", "llama, tied"])
def test_a_base_model_has_names_without_prefix(case: str, tmp_path: Path) -> None:
    theirs = model_of(case)
    theirs.base_model.to(torch.float32).save_pretrained(tmp_path / "theirs")
    save_pretrained(from_pretrained(tmp_path / "theirs"), tmp_path / "ours")
    bytes_of = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("ours", "theirs")]
    assert bytes_of[0] == bytes_of[1]
    assert torch.equal(logits(load(tmp_path / "ours")), logits(load(tmp_path / "theirs")))


@every_case
def test_defaults_are_those_of_transformers(case: str) -> None:
    """A file that says as little as may be means the same to both."""
    kind = CASES[case][0]
    every = json.loads(type(config_of(case))().to_json_string(use_diff=False))
    sparse, full = read_config({"model_type": kind}), read_config(every)
    if kind != "gpt2":
        sparse, full = (replace(one, head_width=one.depth, key_heads=one.groups)
                        for one in (sparse, full))
    assert sparse == full
