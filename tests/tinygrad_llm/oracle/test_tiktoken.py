"""Rank files, GPT-2's two files and tekken.json against tiktoken, tokenizers and templates."""

import base64
import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vocabularies import vocabulary

from tinygrad_llm.text.chat import encode_chat, render_chat
from tinygrad_llm.text.formats import gpt2, load_tokenizer, tekken
from tinygrad_llm.text.formats import tiktoken as rank_files
from tinygrad_llm.text.tokenizer import Tokenizer

tiktoken = pytest.importorskip("tiktoken")
pytestmark = pytest.mark.oracle

PUBLISHED = {
    "cl100k_base": "openai/9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
    "p50k_base": "openai/ec7223a39ce59f226a68acc30dc1af2788490e15",
    "p50k_edit": "openai/ec7223a39ce59f226a68acc30dc1af2788490e15",
    "o200k_base": "openai/fb374d419588a4632f3f557e76b4b70aebbca790",
    "o200k_harmony": "openai/fb374d419588a4632f3f557e76b4b70aebbca790",
}
# Characters that this Python knows, which all libraries then agree on.
texts = st.text(st.characters(exclude_categories=("Cs", "Cn")), max_size=80) | st.text(
    st.sampled_from("aA'sS tTll\u017f \t\r\n\u00a0\u3000019\u0660.!/\u4e2d\u0301\u1e9e\U0001f600"),
    max_size=60) | st.lists(st.sampled_from(
        ["<|endoftext|>", "<|fim_prefix|>", "<|end", "<|start|>", " the", "\n\n", "I'll"])
    ).map("".join)


def ranks(path: Path) -> dict[bytes, int]:
    lines = (line.split() for line in path.read_bytes().splitlines())
    return {base64.b64decode(token): int(rank) for token, rank in lines}


@lru_cache(maxsize=1)
def published(name: str) -> tuple[Tokenizer, Any]:
    from tiktoken_ext import openai_public

    path = vocabulary(PUBLISHED[name])
    known = ranks(path)
    with pytest.MonkeyPatch.context() as patched:  # no network
        patched.setattr(openai_public, "load_tiktoken_bpe", lambda *_, **__: known)
        encoding = openai_public.ENCODING_CONSTRUCTORS[name]()
    return rank_files.load(path, pattern=name), tiktoken.Encoding(**encoding)


@pytest.mark.parametrize("name", PUBLISHED)
@given(text=texts)
def test_published_encodings(name: str, text: str) -> None:
    ours, oracle = published(name)
    ids = oracle.encode(text, allowed_special="all")
    assert ours.encode(text, special="allow") == ids
    assert ours.encode(text, special="text") == oracle.encode(text, disallowed_special=())
    assert ours.decode(ids) == oracle.decode(ids)


@pytest.mark.parametrize("name", PUBLISHED)
def test_special_tokens_are_the_published(name: str) -> None:
    ours, oracle = published(name)
    theirs = {special: oracle.encode_single_token(special) for special in oracle.special_tokens_set}
    twice = {"<|reserved_200018|>"}  # harmony gives its id to <|endofprompt|> as well
    assert ours.special_tokens == {n: i for n, i in theirs.items() if n not in twice}
    assert ours.vocab_size == max(oracle.max_token_value, *ours.special_tokens.values()) + 1


@pytest.mark.parametrize("name", ["cl100k_base", "p50k_base", "o200k_base"])
def test_published_files_are_known_by_their_content(name: str, tmp_path: Path) -> None:
    path = vocabulary(PUBLISHED[name])
    assert load_tokenizer(path).special_tokens == published(name)[0].special_tokens
    rank_files.save(load_tokenizer(path), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == path.read_bytes()


def test_gpt2_is_r50k_base(tmp_path: Path) -> None:
    ours = gpt2.load(vocabulary("gpt2"))
    rank_files.save(ours, tmp_path / "r50k_base.tiktoken")
    again = rank_files.load(tmp_path / "r50k_base.tiktoken")  # checks the published SHA-256
    assert again.special_tokens == ours.special_tokens == {"<|endoftext|>": 50256}
    gpt2.save(again, tmp_path)  # merges made of ranks
    published_merges = vocabulary("gpt2/vocab.bpe").read_text(encoding="utf-8")
    assert (tmp_path / "merges.txt").read_text(encoding="utf-8") == published_merges
    vocab = json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))
    assert vocab == json.loads(vocabulary("gpt2/encoder.json").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def gpt2_both() -> tuple[Tokenizer, Any]:
    tokenizers = pytest.importorskip("tokenizers")
    files = (str(vocabulary(f"gpt2/{name}")) for name in ("encoder.json", "vocab.bpe"))
    oracle = tokenizers.Tokenizer(tokenizers.models.BPE.from_file(*files))
    oracle.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    oracle.add_special_tokens(["<|endoftext|>"])
    return gpt2.load(vocabulary("gpt2")), oracle


@given(texts)
def test_gpt2(text: str) -> None:
    ours, oracle = gpt2_both()
    assert ours.encode(text, special="allow") == oracle.encode(text).ids


def test_llama3_is_its_rank_file(tmp_path: Path) -> None:
    theirs = load_tokenizer(vocabulary("llama3_1/tokenizer.json"))
    rank_files.save(theirs, tmp_path / "tokenizer.model")
    digest = hashlib.sha256((tmp_path / "tokenizer.model").read_bytes()).hexdigest()
    assert digest == rank_files.ENCODINGS["llama3"].sha256
    ours = load_tokenizer(tmp_path / "tokenizer.model")
    assert ours.special_tokens == theirs.special_tokens
    text = "I'LL be   there\n\n<|eot_id|>\u4e2d\u6587 1234567"
    assert ours.encode(text, special="allow", template=True) == theirs.encode(
        text, special="allow", template=True)


@lru_cache(maxsize=1)
def tekken_both(name: str) -> tuple[Tokenizer, Any, int]:
    path = vocabulary(f"mistral/{name}")
    content = json.loads(path.read_bytes())
    config = content["config"]
    special = config["default_num_special_tokens"]
    kept = content["vocab"][: config["default_vocab_size"] - special]
    known = {base64.b64decode(entry["token_bytes"]): entry["rank"] for entry in kept}
    oracle = tiktoken.Encoding(name, pat_str=config["pattern"], mergeable_ranks=known,
                               special_tokens={})
    return tekken.load(path), oracle, special


@pytest.mark.parametrize("name", ["tekken_240718.json", "tekken_240911.json"])
@given(text=texts)
def test_tekken(name: str, text: str) -> None:
    ours, oracle, special = tekken_both(name)
    assert ours.encode(text, special="text") == [id + special for id in oracle.encode(text)]


innocent = st.text(st.sampled_from("aA \n.\u4e2d's<|>"), max_size=20)
CHATS = {"chatml": "qwen3", "llama3": "llama3_1", "gemma": "gemma3"}


@lru_cache(maxsize=1)
def chat_both(format: str) -> tuple[Tokenizer, Any, dict[str, Any]]:
    jinja2 = pytest.importorskip("jinja2")
    folder = vocabulary(CHATS[format])
    settings = json.loads((folder / "tokenizer_config.json").read_bytes())
    template = jinja2.Environment().from_string(settings["chat_template"])
    return load_tokenizer(folder / "tokenizer.json"), template, settings


@pytest.mark.parametrize("format", CHATS)
@given(system=st.none() | innocent, said=st.lists(innocent, min_size=1, max_size=4),
       reply=st.booleans())
def test_chats_are_the_published_templates(
    format: str, system: str | None, said: list[str], reply: bool
) -> None:
    ours, template, settings = chat_both(format)
    if format == "chatml":
        said = said[:1]  # Qwen 3 sets thoughts into answers
    roles = ("user", "assistant")
    chat = [{"role": roles[i % 2], "content": content} for i, content in enumerate(said)]
    if system is not None:
        chat.insert(0, {"role": "system", "content": system})
    rendered = template.render(messages=chat, add_generation_prompt=reply,
                               bos_token=settings["bos_token"])
    assert render_chat(chat, format, reply=reply) == rendered
    ids, _ = encode_chat(ours, chat, format, reply=reply)
    assert ids.tolist() == ours.encode(rendered, special="allow")
