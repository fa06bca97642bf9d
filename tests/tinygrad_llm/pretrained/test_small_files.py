"""The small files of a folder: templates, settings, and what a run keeps of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hugging_face import LETTERS, LLAMA, edit, model_of, write_folder

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.pretrained import Pretrained, from_pretrained, save_pretrained
from tinygrad_llm.pretrained.small_files import beside, ends_of, special_names, with_beside
from tinygrad_llm.text import CharTokenizer


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_chat_templates_and_generation_settings(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a")
    assert from_pretrained(folder).chat_template is None
    edit(folder / "tokenizer_config.json", chat_template="from the tokenizer {{ é }}")
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 3]}')
    found = from_pretrained(folder)
    assert found.chat_template == "from the tokenizer {{ é }}"
    assert found.generation == {"eos_token_id": [2, 3]}
    several = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]
    edit(folder / "tokenizer_config.json", chat_template=several)
    assert from_pretrained(folder).chat_template == "yes"
    (folder / "chat_template.json").write_text('{"chat_template": "of its own"}')
    assert from_pretrained(folder).chat_template == "of its own"
    (folder / "chat_template.jinja").write_bytes("jinja\r\n é".encode())
    found = from_pretrained(folder)
    assert found.chat_template == "jinja\r\n é"
    save_pretrained(found, tmp_path / "b")
    assert files_of(tmp_path / "b") == files_of(folder)


def test_what_came_from_elsewhere_is_written_beside_the_weights(tmp_path: Path) -> None:
    found = Pretrained(model_of(LLAMA), CharTokenizer.from_text(LETTERS), {"eos_token_id": 3},
                       "{{ messages }}", "bfloat16")
    save_pretrained(found, tmp_path / "a")
    again = from_pretrained(tmp_path / "a")
    assert (again.generation, again.chat_template, again.storage) == (
        {"eos_token_id": 3}, "{{ messages }}", "bfloat16")
    assert again.config["eos_token_id"] == 3 and again.config["bos_token_id"] is None
    assert again.config["torch_dtype"] == "bfloat16"


def test_a_run_keeps_what_came_with_its_model(tmp_path: Path) -> None:
    edit(write_folder(tmp_path / "a", dtype="bfloat16") / "config.json", use_cache=False)
    (tmp_path / "a/generation_config.json").write_text('{"eos_token_id": 5}')
    found = from_pretrained(tmp_path / "a")
    (tmp_path / "kept").mkdir()
    for name, content in beside(found).items():
        (tmp_path / "kept" / name).write_bytes(content)
    again = with_beside(found.model, found.tokenizer, tmp_path / "kept")
    assert again == found
    bare = with_beside(found.model, found.tokenizer, tmp_path)
    assert bare == Pretrained(found.model, found.tokenizer)


def test_the_names_that_chat_templates_know(tmp_path: Path) -> None:
    about = {"bos_token": "<s>", "eos_token": {"content": "</s>"}, "pad_token": None,
             "add_bos_token": True, "chat_template": "x"}
    edit(write_folder(tmp_path) / "tokenizer_config.json", **about)
    (tmp_path / "special_tokens_map.json").write_text('{"bos_token": "<b>", "unk_token": "<u>"}')
    found = from_pretrained(tmp_path)
    assert special_names(found) == {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<u>"}
    tokenizer = CharTokenizer.from_text(LETTERS)
    made = Pretrained(model_of(LLAMA), tokenizer, {"eos_token_id": 3})
    assert special_names(made) == {"eos_token": tokenizer.token(3)}
    (tmp_path / "special_tokens_map.json").write_text("[1]")
    with pytest.raises(UserError, match="special_tokens_map.json is no JSON object"):
        special_names(from_pretrained(tmp_path))


@pytest.mark.parametrize(("given", "ends"), [
    ({}, []), ({"eos_token_id": None}, []), ({"eos_token_id": 3}, [3]),
    ({"eos_token_id": [3, 5]}, [3, 5]), ({"eos_token_id": "3"}, []),
    ({"eos_token_id": [-1, 6, 7]}, [6])])
def test_the_ids_that_end_a_text(given: dict[str, Any], ends: list[int]) -> None:
    assert ends_of(given, 7) == frozenset(ends)
