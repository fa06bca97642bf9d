"""Tokenizers out of GGUF metadata against the libraries that published them: the same ids."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from gguf_files import smollm2
from hypothesis import given
from hypothesis import strategies as st
from vocabularies import vocabulary

from tinygrad_llm.pretrained.gguf.file import open_gguf
from tinygrad_llm.pretrained.gguf.tokenizer import PRE, read_tokenizer
from tinygrad_llm.text.formats import huggingface_write
from tinygrad_llm.text.formats import sentencepiece as ours
from tinygrad_llm.text.tokenizer import Tokenizer

pytestmark = pytest.mark.oracle
tokenizers = pytest.importorskip("tokenizers")

TEXTS = [
    "The capital of France is", "\n\n123", "it's 12,345.67 x2y ½ ²",
    "  def f(x):\n\t\treturn  x\r\n",
    "naïve cafés — „Straße“", "吾輩は猫である。1234年", "👩‍👩‍👧‍👦🇩🇪", "כָּל ١٢٣ देवनागरी",
    "A\u0301 ﬁ \u3000 x \u00a0y", "", " ", "\n", "don't DON'T we'VE", "<|im_end|><s>",
]
texts = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=("Cs", "Cn")),
                                         max_size=20)
PUBLISHED = {"llama3": "llama-bpe", "qwen3": "qwen2", "llama2": "llama"}


def entries(name: str) -> dict[str, Any]:
    """Return the metadata that llama.cpp's converter would write for a published tokenizer."""
    file = json.loads(vocabulary(f"{name}/tokenizer.json").read_text(encoding="utf-8"))
    ids = dict(file["model"]["vocab"])
    types = dict.fromkeys(ids.values(), 1)
    for token in file["added_tokens"]:
        ids[token["content"]] = token["id"]
        types[token["id"]] = 3 if token["special"] else 4
    found: dict[str, Any] = {"tokens": sorted(ids, key=ids.__getitem__)}
    merges = [m if isinstance(m, str) else " ".join(m) for m in file["model"]["merges"]]
    if PUBLISHED[name] == "llama":  # merges stand in the order of the scores they were made from
        ranks = {m.replace(" ", ""): rank for rank, m in reversed(list(enumerate(merges)))}
        types |= {id: 6 for token, id in ids.items() if token.startswith("<0x")}
        scores = [-ranks.get(token, 10**6) for token in found["tokens"]]
        found |= {"model": "llama", "scores": np.array(scores, "<f4")}
    else:
        found |= {"model": "gpt2", "pre": PUBLISHED[name], "merges": merges}
    found["token_type"] = np.array([types[id] for id in sorted(types)], "<i4")
    return {f"tokenizer.ggml.{key}": value for key, value in found.items()}


@lru_cache(maxsize=2)
def both(name: str) -> tuple[Tokenizer, Any]:
    tokenizer = read_tokenizer(entries(name))
    assert tokenizer is not None
    theirs = tokenizers.Tokenizer.from_file(str(vocabulary(f"{name}/tokenizer.json")))
    theirs.encode_special_tokens = True
    return tokenizer, theirs


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_tokenizers(name: str) -> None:
    tokenizer, theirs = both(name)

    @given(texts)
    def agree(text: str) -> None:
        ids = tokenizer.encode(text, special="text")
        assert ids == theirs.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids) == theirs.decode(ids, skip_special_tokens=False)

    agree()
    for text in TEXTS:
        agree.hypothesis.inner_test(text)


@pytest.mark.parametrize("name", ["tokenizer.model.v1",
                                  "mistral_instruct_tokenizer_240323.model.v3"])
def test_sentencepiece_models(name: str) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    path = vocabulary(f"mistral/{name}")
    pieces = ours.parse_model(path.read_bytes()).pieces
    tokens, scores, types = zip(*pieces, strict=True)
    tokenizer = read_tokenizer({
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": list(tokens),
        "tokenizer.ggml.scores": np.array(scores, "<f4"),
        "tokenizer.ggml.token_type": np.array(types, "<i4")})
    assert tokenizer is not None
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    for text in TEXTS:
        ids = tokenizer.encode(text, special="text")
        assert ids == processor.encode(text) and tokenizer.decode(ids) == processor.decode(ids)
    exported = tokenizers.Tokenizer.from_str(json.dumps(huggingface_write.to_json(tokenizer)))
    exported.encode_special_tokens = True
    for text in TEXTS:
        ids = tokenizer.encode(text, special="text", template=True)
        assert exported.encode(text).ids == ids and ids[0] == 1
        assert exported.decode(ids) == tokenizer.decode(ids, skip_special=True)


def test_the_cuts_of_tekken() -> None:
    config = json.loads(vocabulary("mistral/tekken_240718.json").read_text(encoding="utf-8"))
    (cut, _) = PRE["tekken"].cuts
    assert cut["pattern"]["Regex"] == config["config"]["pattern"]


@lru_cache(maxsize=1)
def smollm() -> tuple[Tokenizer, Any]:
    metadata = open_gguf(smollm2()).metadata
    tokenizer = read_tokenizer(metadata)
    assert tokenizer is not None
    tokens = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE(
        {token: id for id, token in enumerate(tokens)}, merges))
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Digits(individual_digits=True),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)])
    theirs.decoder = tokenizers.decoders.ByteLevel()
    theirs.add_special_tokens([
        token for token, type in zip(tokens, metadata["tokenizer.ggml.token_type"], strict=True)
        if type == 3])
    return tokenizer, theirs


@given(texts)
def test_the_tokenizer_of_smollm2(text: str) -> None:
    tokenizer, theirs = smollm()
    ids = tokenizer.encode(text, special="allow")
    assert ids == theirs.encode(text).ids
    assert tokenizer.decode(ids) == theirs.decode(ids, skip_special_tokens=False)


def test_the_tokenizer_of_smollm2_on_hard_texts() -> None:
    tokenizer, theirs = smollm()
    for text in [*TEXTS, " ".join(TEXTS) * 3]:
        ids = tokenizer.encode(text, special="allow")
        assert ids == theirs.encode(text).ids
        assert tokenizer.decode(ids) == theirs.decode(ids, skip_special_tokens=False)
    assert tokenizer.encode("\n\n123")[0] == 1116
