"""Batches and files give the ids of their texts one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text import batch
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.batch import encode_batch, encode_file
from tinygrad_llm.text.cut.pretokenizers import ByteLevel
from tinygrad_llm.text.normalize.normalizers import NFC
from tinygrad_llm.text.special import AddedToken, AddedTokens
from tinygrad_llm.text.tokenizer import Tokenizer

MERGES = [(b"a", b"b"), (b" ", b"a"), (b"ab", b"ab"), (b"\xc3", b"\xa9")]


def tokenizer(content: str = "<|end|>", **options: object) -> Tokenizer:
    vocab = {bytes([b]): b for b in range(256)}
    for left, right in MERGES:
        vocab[left + right] = len(vocab)
    return Tokenizer(BPE(vocab, MERGES), pre_tokenizer=ByteLevel(add_prefix_space=False),
                     added=AddedTokens([AddedToken(content, 300)]), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [None, 1, 2])
def test_a_batch_is_its_texts(monkeypatch: pytest.MonkeyPatch, workers: int | None) -> None:
    monkeypatch.setattr(batch, "GROUP", 100)
    t, texts = tokenizer(), ["abab é", "", "x" * 150, "a ab", "<|end|>b"] * 3
    assert encode_batch(t, texts, special="allow", workers=workers) == [
        t.encode(text, special="allow") for text in texts]
    assert encode_batch(t, [], workers=workers) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_special_tokens_are_refused(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    monkeypatch.setattr(batch, "GROUP", 3)
    with pytest.raises(UserError, match=r"text 2 of the batch: .*<\|end\|>"):
        encode_batch(tokenizer(), ["aaaa", "bbbb", "c <|end|>"], workers=workers)
    assert encode_batch(tokenizer(), ["<|end|>"], special="text") == [list(b"<|end|>")]


def test_no_workers_at_all() -> None:
    with pytest.raises(UserError, match="at least 1"):
        encode_batch(tokenizer(), ["a"], workers=0)


@given(st.text(st.sampled_from("ab é.,\n"), max_size=200).map(lambda t: t * 20))
def test_a_file_is_its_text(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("files") / "text"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch.blocks_of_chunks, "__defaults__", (50, batch.SAFE_CUT))
        patch.setattr(batch.read_chunks, "__defaults__", ("strict", 30))
        for t in (tokenizer(), tokenizer(normalizer=NFC()), tokenizer("b. a")):
            parts = list(encode_file(t, path, special="allow"))
            joined = np.concatenate(parts) if parts else np.empty(0, np.int32)
            assert joined.tolist() == t.encode(text, special="allow")


def test_large_files_come_in_parts(tmp_path: Path) -> None:
    (tmp_path / "large").write_text("abab a, " * 50_000)
    assert len(list(encode_file(tokenizer(), tmp_path / "large"))) > 4
    assert len(list(encode_file(tokenizer("b. a"), tmp_path / "large"))) == 1


def test_special_tokens_in_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("ab <|end|>")
    with pytest.raises(UserError, match="end"):
        list(encode_file(tokenizer(), tmp_path / "text"))
    assert [p.tolist() for p in encode_file(tokenizer(), tmp_path / "text", special="text")] == [
        tokenizer().encode("ab <|end|>", special="text")]
