"""Chat templates of our own: what they may use, and what messages may never become."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text import chat_template
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.chat import encode_chat
from tinygrad_llm.text.chat_template import BEGIN, END, ChatTemplate
from tinygrad_llm.text.cut.pretokenizers import Pattern
from tinygrad_llm.text.decoders import ByteLevel
from tinygrad_llm.text.normalize.normal_forms import NFKC
from tinygrad_llm.text.special import AddedToken, AddedTokens
from tinygrad_llm.text.tokenizer import Tokenizer

NAMES = {"<s>": 300, "<|im_start|>": 301, "<|im_end|>": 302, "|>": 303, "→": 304}
VOCAB = {bytes([b]): b for b in range(256)} | {b"\n\n": 256, b"us": 257, b"\nA": 258}
TOKENIZER = Tokenizer(BPE(VOCAB), pre_tokenizer=Pattern(r"\s+|\S+"),
                      decoder=ByteLevel(),
                      added=AddedTokens(AddedToken(name, id) for name, id in NAMES.items()))
CHATML = ("{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
          "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
TRIMMED = "<s>{% for m in messages %}[{{ m['content'] | trim }}]<|im_end|>{% endfor %}"
THINKING = ("{% for m in messages %}{% set said = m.content.split('</t>')[-1].lstrip('\n') %}"
            "{{ '<|im_start|>' ~ said ~ '<|im_end|>' }}{% endfor %}")
TEMPLATES = [CHATML, TRIMMED, THINKING]

said = st.text(st.sampled_from("aus \nAé<|>_im→"), max_size=9)
hostile = st.lists(st.one_of(said, st.sampled_from(["<|im_end|>", "<s>", "</t>", BEGIN, END])),
                   max_size=5).map("".join)


def chat_of(contents: list[str]) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": c} for i, c in enumerate(contents)]


def controls(ids: np.ndarray) -> list[int]:
    return [id for id in ids.tolist() if id in NAMES.values()]


def render(source: str, *contents: str, **variables: Any) -> str:
    return ChatTemplate(source).render(chat_of([*contents]), **variables)


@pytest.mark.parametrize("source", TEMPLATES)
@given(contents=st.lists(hostile, max_size=4))
def test_messages_never_become_control_tokens(source: str, contents: list[str]) -> None:
    """The special tokens are those of a conversation that says nothing, and the text is all there.
    """
    template, chat = ChatTemplate(source), chat_of(contents)
    ids, _ = template.encode(TOKENIZER, chat, special="text", reply=True)
    empty, _ = template.encode(TOKENIZER, chat_of(["a"] * len(contents)), reply=True)
    assert controls(ids) == controls(empty)
    assert TOKENIZER.decode(ids) == template.render(chat, reply=True)


@pytest.mark.parametrize("source", TEMPLATES)
@given(contents=st.lists(st.text(st.sampled_from("aus \nAé<|m")), max_size=4))
def test_innocent_messages_have_the_ids_of_the_rendered_text(
        source: str, contents: list[str]) -> None:
    template, chat = ChatTemplate(source), chat_of(contents)
    ids, mask = template.encode(TOKENIZER, chat)
    assert ids.tolist() == TOKENIZER.encode(template.render(chat), special="allow")
    assert ids.dtype == np.int32 and mask.dtype == bool and not mask.any()


@given(contents=st.lists(hostile, max_size=4), reply=st.booleans())
def test_a_template_and_a_format_agree(contents: list[str], reply: bool) -> None:
    theirs, _ = encode_chat(TOKENIZER, chat_of(contents), "chatml", special="text", reply=reply)
    ours, _ = ChatTemplate(CHATML).encode(TOKENIZER, chat_of(contents), special="text",
                                          reply=reply)
    assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize("source, content", [
    ("{{ messages[0].content | replace('-', '') }}", "<-s>"),
    ("{{ messages[0].content | lower }}", "<S>"),
    ("<{{ messages[0].content }}>", "s"),
    ("{{ messages[0].content }}>", "|"),
    ("{{ messages[0].content }}", "＜s＞"),  # made of by the normaliser
    ("{% if 'ss' in messages[0].content %}<s>{% endif %}", "ss"),
])
def test_special_tokens_that_a_template_makes_of_messages(source: str, content: str) -> None:
    added = AddedTokens([AddedToken(name, id, normalized=True) for name, id in NAMES.items()])
    tokenizer = Tokenizer(BPE(VOCAB), normalizer=NFKC(), added=added)
    template = ChatTemplate(source)
    template.encode(tokenizer, chat_of(["x"]), special="text")
    with pytest.raises(UserError, match="makes special tokens of what the messages say"):
        template.encode(tokenizer, chat_of([content]), special="text")


def test_a_template_may_ask_whether_there_is_text() -> None:
    added = AddedTokens([AddedToken("<s>", 300), AddedToken("< b >", 301)])
    template = ChatTemplate("{% if messages[0].content | trim %}<s>{% endif %}")
    for content, ids in ((" ", []), (" < b >", [300])):
        found, _ = template.encode(Tokenizer(BPE(VOCAB), added=added), chat_of([content]),
                                   special="text")
        assert found.tolist() == ids


def test_special_tokens_are_refused_by_default() -> None:
    template = ChatTemplate(CHATML)
    with pytest.raises(UserError, match="message 1 contains the special token '<s>' at position 2"):
        template.encode(TOKENIZER, chat_of(["a", "b <s>"]))
    call = [{"role": "user", "content": "a", "tool_calls": [{"name": {"<|im_end|>": 1}}]}]
    with pytest.raises(UserError, match="message 0 contains the special token '<|im_end|>'"):
        template.encode(TOKENIZER, call)
    with pytest.raises(UserError, match="neither 'refuse' nor 'text'"):
        template.encode(TOKENIZER, call, special="allow")
    with pytest.raises(UserError, match="contains the special token"):
        template.encode(TOKENIZER, [{"role": "<|im_end|>", "content": ""}])


def test_text_that_the_tokenizer_makes_a_control_token() -> None:
    tokenizer = Tokenizer(BPE(VOCAB | {b"<s": 299, b"<s>": 300}, [(b"<", b"s"), (b"<s", b">")]),
                          added=AddedTokens([AddedToken("<s>", 300)]))
    with pytest.raises(UserError, match="it is not fit for chat"):
        ChatTemplate(TRIMMED).encode(tokenizer, chat_of(["<s>"]), special="text")


def test_what_an_assistant_is_trained_on() -> None:
    template = ChatTemplate(
        "{% for m in messages %}{% if m.role == 'assistant' %}A:{% generation %}{{ m.content }}"
        "<|im_end|>{% endgeneration %}{% else %}U:{{ m.content }}{% endif %}\n{% endfor %}")
    for contents in (["é", "éé"], ["<s>", f"<s>{BEGIN}"]):
        ids, mask = template.encode(TOKENIZER, chat_of([*contents, "x", "y"]), special="text")
        assert TOKENIZER.decode(ids[mask]) == f"{contents[1]}<|im_end|>y<|im_end|>"
    assert template.render(chat_of(["a", "b"])) == "U:aA:b<|im_end|>"


def test_what_templates_may_use() -> None:
    assert render("{{ bos_token is defined }} {{ tools }} {{ x }}", x=3) == "False None 3"
    assert ChatTemplate("{{ bos_token }}", {"bos_token": "<s>"}).render([]) == "<s>"
    assert render("{{ {'b': '<é>', 'a': 1} | tojson }}") == '{"b": "<é>", "a": 1}'
    assert render("{{ [1] | tojson(indent=2) }}") == "[\n  1\n]"
    assert len(render("{{ strftime_now('%Y-%m-%d') }}")) == 10
    loop = "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i > 3 %}"
    assert render(loop + "{% break %}{% endif %}{{ i }}{% endfor %}") == "023"
    assert render("a\n  {% if true %}\nb\n  {% endif %}\nc\n") == "a\nb\nc"
    assert ChatTemplate("{{ messages[0] }}").render([{"role": "a", "n": None}]) == "{'role': 'a'}"


@pytest.mark.parametrize("source, message", [
    ("\n{% for %}", "line 2: Expected an expression"),
    ("\n\n{{ a.b }}", "line 3: 'a' is undefined"),
    ("{% if true %}\n{{ raise_exception('roles must alternate') }}{% endif %}",
     "line 2: roles must alternate"),
    ("{{ ''.__class__.__mro__ }}", "line 1: access to attribute '__class__' of 'str'"),
    ("\n{{ messages.append(1) }}", "line 2: access to attribute 'append'"),
    ("{{ 'a' * 10000000000 }}", r"line 1: \* may take all memory"),
    ("{{ 9 ** 9 ** 9 ** 9 }}", r"line 1: \*\* may take all memory"),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "line 1: maximum recursion depth"),
    ("{{ 1 / 0 }}", "line 1: division by zero"),
])
def test_faults_of_a_template_name_its_line(source: str, message: str) -> None:
    with pytest.raises(UserError, match=f"the chat template, {message}"):
        render(source)


def test_a_fault_without_words_is_named_by_its_kind() -> None:
    def fail() -> None:
        raise MemoryError

    with pytest.raises(UserError, match="the chat template, line 2: MemoryError; change"):
        ChatTemplate("\n{{ fail() }}").render([{"role": "user", "content": ""}], fail=fail)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no timer")
def test_endless_templates_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "SECONDS", 0.1)
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(UserError, match="computes for more than 0.1 s"):
        render(loop)


@pytest.mark.parametrize("template, words", [
    ("{% for a in range(999) %}{% for b in range(999) %}aaaaaaaaaaaaa{% endfor %}{% endfor %}",
     "the chat template: it writes more than 10,000,000 characters; change"),
    ("{% set a = 'a' * 9999999 %}{{ a }}{{ a }}", "it writes more than 10,000,000"),])
def test_templates_that_write_too_much_are_ended(template: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        render(template)


def test_as_much_as_may_be_written() -> None:
    assert len(render("{% set a = 'a' * 5000000 %}{{ a }}{{ a }}")) == 10**7


@pytest.mark.parametrize("messages", ["hello", [3], [{"role": "user", "content": object()}], None])
def test_conversations_that_are_none(messages: Any) -> None:
    with pytest.raises(UserError, match="a conversation is|a message holds"):
        ChatTemplate(CHATML).encode(TOKENIZER, messages)


def test_without_jinja2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UserError, match=r'pip install "tinygrad_llm\[chat\]"'):
        ChatTemplate("")
