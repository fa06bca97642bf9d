"""A model from elsewhere, with what came beside its weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..models import LanguageModel
from ..text import Tokenizer


@dataclass(frozen=True)
class Pretrained:
    """A model and what its files say of its use.

    tokenizer: None where the files have none. generation: the settings of generation_config.json,
    such as "eos_token_id". chat_template: the Jinja text, not run here. storage: the type that the
    weights had in the files, "float32", "bfloat16" or "float16", and are written in again.
    """

    model: LanguageModel
    tokenizer: Tokenizer | None = None
    generation: dict[str, Any] = field(default_factory=dict)
    chat_template: str | None = None
    storage: str = "float32"
