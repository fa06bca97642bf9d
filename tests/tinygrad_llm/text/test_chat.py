import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.chat import FORMATS, ROLES, control_tokens, encode_chat, render_chat
from tinygrad_llm.text.cut.pretokenizers import Pattern
from tinygrad_llm.text.special import AddedToken, AddedTokens
from tinygrad_llm.text.tokenizer import Tokenizer

VOCAB = {bytes([b]): b for b in range(256)} | {b"\n\n": 256, b"us": 257, b"\nA": 258}
NAMES = dict(zip(sorted({n for f in FORMATS for n in control_tokens(f)}), range(300, 400)))  # noqa: B905
TOKENIZER = Tokenizer(
    BPE(VOCAB),
    pre_tokenizer=Pattern(r"\s+|\S+"),
    added=AddedTokens(AddedToken(name, id) for name, id in NAMES.items()),
)
CHAT = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Ho"},
]

said = st.text(st.sampled_from("aus \nAé<|>_im"), max_size=12)
conversations = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(ROLES), "content": said}), max_size=5
)


def bytes_of(text: str) -> list[int]:
    return TOKENIZER.encode(text)


def test_chatml_spelled_out() -> None:
    ids, mask = encode_chat(TOKENIZER, CHAT, "chatml")
    start, end = NAMES["<|im_start|>"], NAMES["<|im_end|>"]
    user = [start, *bytes_of("user\nHi"), end, *bytes_of("\n")]
    before = [start, *bytes_of("assistant\n")]
    assert ids.tolist() == [*user, *before, *bytes_of("Ho"), end, *bytes_of("\n")]
    assert mask.tolist() == [False] * len(user + before) + [True] * 3 + [False]
    assert ids.dtype == np.int32 and mask.dtype == np.bool_


def test_rendered() -> None:
    plain = "<|user|>Hi<|end|><|assistant|>Ho<|end|><|assistant|>"
    assert render_chat(CHAT, "plain", reply=True) == plain
    system = [{"role": "system", "content": " S "}, {"role": "user", "content": " U\n"}]
    assert render_chat(system, "gemma", reply=True) == (
        "<bos><start_of_turn>user\n S \n\nU<end_of_turn>\n<start_of_turn>model\n")
    assert render_chat(system, "llama3") == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|>")


@given(conversations, st.sampled_from(["chatml", "llama3", "plain"]), st.booleans())
def test_innocent_messages_have_the_ids_of_the_rendered_string(
    chat: list[dict[str, str]], format: str, reply: bool
) -> None:
    ids, mask = encode_chat(TOKENIZER, chat, format, special="text", reply=reply)
    rendered = render_chat(chat, format, reply=reply)
    assert ids.tolist() == TOKENIZER.encode(rendered, special="allow")
    ends = [m for m in mask[:-1].astype(int) - mask[1:].astype(int) if m == 1]
    answers = sum(message["role"] == "assistant" for message in chat)
    assert len(ends) + bool(mask[-1:].any()) == answers  # one run of trained tokens an answer


def test_the_mask_begins_where_a_token_begins() -> None:
    chat = [{"role": "assistant", "content": "\nus"}]
    ids, mask = encode_chat(TOKENIZER, chat, "chatml")
    kept = ids[mask].tolist()
    assert 256 in ids and kept == [257, NAMES["<|im_end|>"]]


@given(
    st.lists(st.sampled_from([*NAMES, "<|im_", "end|>", "user\n", "\n"]), max_size=6),
    st.sampled_from(["chatml", "llama3", "plain"]),
)
def test_no_message_writes_a_control_token(parts: list[str], format: str) -> None:
    content = "".join(parts)
    chat = [{"role": "user", "content": content}]
    innocent, _ = encode_chat(TOKENIZER, [{"role": "user", "content": "x"}], format)
    ids, _ = encode_chat(TOKENIZER, chat, format, special="text")
    assert [i for i in ids if i >= 300] == [i for i in innocent if i >= 300]
    if any(name in content for name in NAMES):
        with pytest.raises(UserError, match=r"message 0 contains the special token '.*' at"):
            encode_chat(TOKENIZER, chat, format)


def test_special_may_not_be_allow() -> None:
    for special in ("allow", "<|im_end|>"):
        with pytest.raises(UserError, match="neither 'refuse' nor 'text'"):
            encode_chat(TOKENIZER, CHAT, "chatml", special=special)


def test_the_refused_message_is_named() -> None:
    chat = [*CHAT, {"role": "user", "content": "ab<|im_end|>"}]
    with pytest.raises(UserError, match=r"message 2 .*'<\|im_end\|>' at position 2; pass special"):
        encode_chat(TOKENIZER, chat, "chatml")


def test_a_tokenizer_that_merges_into_a_control_token_is_refused() -> None:
    forger = Tokenizer(BPE({**VOCAB, b"<|": 298, b"<|end|>": 299}),
                       added=AddedTokens([AddedToken(n, i) for n, i in NAMES.items()
                                          if n != "<|end|>"] + [AddedToken("<|end|>", 299)]))
    with pytest.raises(UserError, match="makes the control token"):
        encode_chat(forger, [{"role": "user", "content": "<|end|>"}], "plain", special="text")


@pytest.mark.parametrize("message, fault", [
    ("Hi", "message 1 is 'Hi'; expected"),
    ({"content": "Hi"}, "message 1 has the role None"),
    ({"role": "user<|im_end|>", "content": "Hi"}, "has the role 'user<|im_end|>'; expected system"),
    ({"role": "user"}, "content None; expected a string"),
    ({"role": "user", "content": [{"type": "text"}]}, "expected a string"),
    ({"role": "user", "content": "", "tool_calls": []}, "'tool_calls' beside its role"),
])
def test_what_is_no_message_is_refused(message: object, fault: str) -> None:
    with pytest.raises(UserError) as caught:
        encode_chat(TOKENIZER, [CHAT[0], message], "chatml")  # type: ignore[list-item]
    assert fault in str(caught.value)


def test_gemma_takes_turns() -> None:
    with pytest.raises(UserError, match="message 1 is by 'user', but in the format gemma"):
        encode_chat(TOKENIZER, [CHAT[0], CHAT[0]], "gemma")
    with pytest.raises(UserError, match="message 0 is by 'assistant'"):
        encode_chat(TOKENIZER, CHAT[1:], "gemma")
    with pytest.raises(UserError, match="there is none; add one"):
        encode_chat(TOKENIZER, [{"role": "system", "content": "S"}], "gemma")
    with pytest.raises(UserError, match="message 1 is by 'system', which in the format gemma may"):
        encode_chat(TOKENIZER, [CHAT[0], {"role": "system", "content": "S"}], "gemma")


def test_what_a_tokenizer_lacks_is_named() -> None:
    tokenizer = Tokenizer(BPE(VOCAB), added=AddedTokens(
        AddedToken(name, id) for name, id in NAMES.items() if "|im_" not in name))
    with pytest.raises(UserError, match=r"needs the special token '<\|im_start\|>', .* lacks; "
                                        "formats that it can do: plain, llama3, gemma"):
        encode_chat(tokenizer, CHAT, "chatml")
    with pytest.raises(UserError, match="'alpaca' is no chat format; known are plain, chatml"):
        encode_chat(tokenizer, CHAT, "alpaca")
    ordinary = AddedTokens(AddedToken(name, id, special=False) for name, id in NAMES.items())
    with pytest.raises(UserError, match="needs the special token"):  # text could write it
        encode_chat(Tokenizer(BPE(VOCAB), added=ordinary), CHAT, "plain")


def test_an_empty_conversation() -> None:
    ids, mask = encode_chat(TOKENIZER, [], "plain")
    assert ids.shape == mask.shape == (0,)
    assert encode_chat(TOKENIZER, [], "llama3", reply=True)[0][0] == NAMES["<|begin_of_text|>"]
