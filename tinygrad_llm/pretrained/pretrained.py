"""A model from elsewhere, with what came beside its weights, and how one is made for these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from autograd import Tensor

from ..host.errors import UserError, shortened
from ..models import ARCHITECTURES, LanguageModel, architecture, architecture_of
from ..text import Tokenizer

KINDS = ("float32", "float64")
"""The types that parameters may have."""


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


def check_kind(dtype: str) -> None:
    """Raise UserError where parameters cannot be of a type."""
    if dtype not in KINDS:
        raise UserError(f"dtype: expected {' or '.join(KINDS)}, which this computes with, got "
                        f"{shortened(dtype)}")


def empty_model(config: Any, dtype: str) -> LanguageModel:
    """Return a model of a configuration, whose parameters of a type in KINDS have no value yet."""
    make = next(one.model for one in ARCHITECTURES.values() if type(config) is one.config)
    model = make(config, None)
    for p in parameters_of(model).values():
        if p.dtype.name != dtype:
            p.data = np.zeros(p.shape, dtype)
            assert p.node is not None
            p.node.dtype = p.data.dtype
    return model


def parameters_of(model: LanguageModel) -> dict[str, Tensor]:
    """Return the parameters of a model of ours by their names."""
    return architecture(architecture_of(model)).weights(model)


def check_ids(tokenizer: Tokenizer, model: LanguageModel, source: Path) -> None:
    """Raise UserError where a tokenizer has ids that have no row in the model's token table."""
    rows = model.config.vocab_size
    if tokenizer.vocab_size > rows:
        raise UserError(f"the tokenizer of {source} has ids up to {tokenizer.vocab_size - 1}, and "
                        f"the token table of its weights {rows} rows: they do not belong together; "
                        f"fetch the tokenizer of this model")
