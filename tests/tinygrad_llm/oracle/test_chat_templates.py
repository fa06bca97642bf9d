"""Published chat templates: the text and the ids that transformers makes of them.

Those of DeepSeek 3, Gemma 3, Llama 3 and 3.1 and Qwen 3 lie beside their vocabularies.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vocabularies import vocabulary

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text import Tokenizer, load_tokenizer
from tinygrad_llm.text.chat_template import ChatTemplate

transformers = pytest.importorskip("transformers")
pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]

PUBLISHED = ("deepseek_v3", "gemma3", "llama3", "llama3_1", "qwen3")
OTHERS = {  # Mistral 7B Instruct 0.1, and Zephyr, for a tokenizer that lacks their control tokens
    "mistral": "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token + ' ' }}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}",  # noqa: E501
    "zephyr": "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}",  # noqa: E501
    "trained on": "{% for m in messages %}\n  {%- if m.role == 'assistant' %}\n{% generation %}\n{{ m.content + eos_token }}\n{% endgeneration %}\n  {% else %}\n{{ m.role }}: {{ m.content | trim }}\n  {% endif %}\n{% endfor %}",  # noqa: E501
}
said = st.text(st.sampled_from("aA \n.\u4e2dé's<|>"), max_size=12) | st.sampled_from(
    ["<think>\nhm\n</think>\n\nyes", "</think>", " 1 + 1?\n", "<tool_response>1</tool_response>"])
calls = st.sampled_from([[{"type": "function", "function": {
    "name": "add", "arguments": {"a": 1, "é": "<b>"}}}]])
TOOLS = [{"type": "function", "function": {"name": "add", "description": "a & b"}}]


@lru_cache(maxsize=1)
def both(name: str) -> tuple[Tokenizer, Any, ChatTemplate]:
    folder = vocabulary(name if name in PUBLISHED else "qwen3")
    settings = json.loads((folder / "tokenizer_config.json").read_bytes())
    names = {key: value["content"] if isinstance(value, dict) else value
             for key, value in settings.items() if key.endswith("_token") and value
             and not isinstance(value, bool)}
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), **names)
    source = theirs.chat_template = OTHERS.get(name) or settings["chat_template"]
    names = dict(theirs.special_tokens_map)
    return load_tokenizer(folder / "tokenizer.json"), theirs, ChatTemplate(source, names)


@pytest.mark.parametrize("name", [*PUBLISHED, *OTHERS])
@given(data=st.data(), contents=st.lists(said, min_size=1, max_size=5), reply=st.booleans())
def test_published_templates(name: str, data: st.DataObject, contents: list[str],
                             reply: bool) -> None:
    ours, theirs, template = both(name)
    chat: list[dict[str, Any]] = [{"role": ("user", "assistant")[i % 2], "content": c}
                                  for i, c in enumerate(contents)]
    if data.draw(st.booleans()):
        chat.insert(0, {"role": "system", "content": data.draw(said)})
    options: dict[str, Any] = {}
    if name == "qwen3":
        options = data.draw(st.sampled_from([{}, {"enable_thinking": False}, {"tools": TOOLS}]))
        for message in chat:
            if message["role"] == "assistant":
                message["tool_calls"] = data.draw(st.none() | calls)
    try:
        rendered = theirs.apply_chat_template(chat, tokenize=False, add_generation_prompt=reply,
                                              **options)
    except Exception as error:
        with pytest.raises(UserError) as refused:
            template.render(chat, reply=reply, **options)
        assert str(error) in str(refused.value)
        return
    assert template.render(chat, reply=reply, **options) == rendered
    mask = name == "trained on"
    found = theirs.apply_chat_template(chat, add_generation_prompt=reply, return_dict=True,
                                       return_assistant_tokens_mask=mask, **options)
    ids, trained = template.encode(ours, chat, reply=reply, **options)
    assert ids.tolist() == found["input_ids"]
    assert trained.tolist() == (found["assistant_masks"] if mask else [False] * len(ids))
