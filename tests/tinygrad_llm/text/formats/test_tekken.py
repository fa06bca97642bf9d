import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.cut.patterns import GPT2
from tinygrad_llm.text.formats import tekken

BYTES = {bytes([b]): b for b in range(256)}


def tekken_file(path: Path, **changes: Any) -> Path:
    vocab = [{"rank": id, "token_bytes": base64.b64encode(token).decode(), "token_str": None}
             for token, id in {**BYTES, b"an": 256, b"na": 257}.items()]
    content = {"config": {"pattern": GPT2, "default_vocab_size": 287, "version": "v3",
                          "default_num_special_tokens": 30}, "vocab": vocab, **changes}
    path.write_text(json.dumps(content))
    return path


def test_tekken(tmp_path: Path) -> None:
    tokenizer = tekken.load(tekken_file(tmp_path / "tekken.json"))
    assert tokenizer.encode("na[INST]", special="allow") == [110 + 30, 97 + 30, 3]  # na is cut off
    assert tokenizer.encode("an") == [286] and tokenizer.vocab_size == 287
    assert tokenizer.id("<SPECIAL_20>") == 20 and len(tokenizer.special_tokens) == 30
    listed = [{"rank": 1, "token_str": "<s>"}]
    tokenizer = tekken.load(tekken_file(tmp_path / "tekken.json", special_tokens=listed))
    assert tokenizer.id("<s>") == 1 and tokenizer.id("<SPECIAL_0>") == 0


def test_an_empty_token_is_only_decoded(tmp_path: Path) -> None:
    vocab = [{"rank": id, "token_bytes": base64.b64encode(token).decode()}
             for token, id in {**BYTES, b"": 256}.items()]
    tokenizer = tekken.load(tekken_file(tmp_path / "tekken.json", vocab=vocab))
    assert tokenizer.encode("a") == [127] and tokenizer.decode([286, 127]) == "a"


@pytest.mark.parametrize("changes, fault", [
    ({"vocab": [{"rank": 0, "token_bytes": "AA=="}]}, "promises 257 tokens, vocab has 1"),
    ({"vocab": [{"rank": 1, "token_bytes": "AA=="}]}, r"vocab\[0\] comes twice"),
    ({"vocab": [{"rank": 0, "token_bytes": "A"}]}, r"token_bytes of vocab\[0\] is no base64"),
    ({"vocab": [7]}, "stands where another is expected"), ({"vocab": None}, "stands where"),
    ({"config": {}}, "'pattern' is missing"), ({"config": []}, "stands where another"),
    ({"special_tokens": [{"rank": 30, "token_str": "a"}]}, "ranks of their own below 30"),
    ({"special_tokens": [{"rank": 0, "token_str": "a"}] * 2}, "ranks of their own below 30"),
    ({"special_tokens": [{"rank": 0, "token_str": 7}]}, "has no name"),
    ({"special_tokens": [{"rank": 0, "token_str": "<SPECIAL_1>"}]}, "have one name"),
    ({"config": {"pattern": GPT2, "default_vocab_size": 287, "version": "v13",
                 "default_num_special_tokens": 30}}, "'v13' must list its special tokens"),
    ({"config": {"pattern": GPT2, "default_vocab_size": "287", "default_num_special_tokens": 30}},
     "a size that is no number"),
])
def test_what_is_no_tekken_is_refused(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        tekken.load(tekken_file(tmp_path / "tekken.json", **changes))


@pytest.mark.parametrize("content", [b"", b"[]", b"7", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_no_tekken(tmp_path: Path, content: bytes) -> None:
    with open(tmp_path / "tekken.json", "wb") as file:
        file.write(content)
    with pytest.raises(UserError, match="cannot be read as a tekken"):
        tekken.load(tmp_path / "tekken.json")


def test_files_before_version_13_have_mistrals_first_tokens(tmp_path: Path) -> None:
    tokenizer = tekken.load(tekken_file(tmp_path / "tekken.json"))
    assert [tokenizer.token(id) for id in (0, 1, 2, 19)] == [
        "<unk>", "<s>", "</s>", "[TOOL_CONTENT]"]
    assert tokenizer.decode(tokenizer.encode("ana é[INST]", special="text")) == "ana é[INST]"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.json cannot be read as a tekken.* No such file"):
        tekken.load(tmp_path / "absent.json")
