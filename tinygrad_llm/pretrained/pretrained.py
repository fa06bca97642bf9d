"""A model from elsewhere, with what came beside its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..models import LanguageModel
from ..text import Tokenizer


@dataclass(frozen=True)
class Pretrained:
    """A model and what its files say of its use.

    tokenizer: None where the files have none. generation: the settings of generation_config.json,
    such as "eos_token_id". chat_template: the Jinja text, not run here. storage: the type that the
    weights had in the files, "float32", "bfloat16" or "float16", and are written in again; `other`
    has the types of tensors that had another one. config: config.json, where there was one. files:
    the content of the small files beside it, which are written again as they were.
    """

    model: LanguageModel
    tokenizer: Tokenizer | None = None
    generation: dict[str, Any] = field(default_factory=dict)
    chat_template: str | None = None
    storage: str = "float32"
    other: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
