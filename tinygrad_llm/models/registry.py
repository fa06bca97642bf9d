"""Models by name: what training, sampling and checkpoints know of a model.

Nothing but this file names a model's classes to them. An architecture that is entered here can be
trained with `--arch NAME`, has a flag for each of its settings, and is found again by the name in
its checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from autograd import Tensor

from ..host.errors import UserError, did_you_mean
from ..nn import Cache, parameters
from .gpt import GPT, GPTConfig
from .llama import Llama, LlamaConfig


class LanguageModel(Protocol):
    """A model that predicts each token from those before it.

    `config` has at least `vocab_size` and `context`. `head` (V, C) maps what `hidden` returns to
    logits. A key turns dropout on. With a cache, ids are those behind the cached ones. `recompute`
    and `loss_chunk`, off at first, have a step take less memory, see `train.settings`.
    """

    config: Any
    head: Tensor
    recompute: bool
    loss_chunk: int

    def hidden(self, ids: Any, key: int | None = None, cache: Cache | None = None) -> Any:
        """Return the last layer's output (B, T, C) for token ids (B, T)."""

    def __call__(self, ids: Any, key: int | None = None, cache: Cache | None = None) -> Any:
        """Return the logits (B, T, V) of the token that follows each position."""

    def cache(self, rows: int = 1, capacity: int | None = None, bits: int | None = None,
              rotate: bool = True) -> Cache:
        """Return an empty cache of so many texts; see `nn.cache`.

        It has room for the context unless `capacity` is given. Unless `rotate`, layers with a
        window keep all positions.
        """

    def loss(self, ids: Any, targets: Any, key: int | None = None) -> Tensor:
        """Return the mean cross-entropy of `targets` (B, T), in nats a token."""

    def training_loss(self, ids: Any, targets: Any, key: int | None = None) -> Tensor:
        """Return what training minimises: `loss`, or it and what the model adds to it."""

    def next_logits(self, ids: Any, cache: Cache | None = None) -> Any:
        """Return the logits (B, V) of the token that follows the last position."""

    def lens(self, x: Any) -> Any:
        """Return the logits (..., V) of a residual stream (..., C), as if no layer followed."""


@dataclass(frozen=True)
class Architecture:
    """The classes of a model, and the names of its weights.

    `config` is a dataclass with a field `vocab_size`, which the tokenizer decides; a field that is
    annotated with a help text is a setting of a run. `model(config, seed)` makes the model, and
    without a seed one of zeros, into which weights are read.
    `weights(model)` returns its parameters under the names that they have in checkpoints;
    `by_position` names those that have a row for each position of the context.
    """

    config: type[Any]
    model: Callable[[Any, int | None], LanguageModel]
    weights: Callable[[Any], dict[str, Tensor]] = parameters
    by_position: tuple[str, ...] = ()


ARCHITECTURES = {"gpt": Architecture(GPTConfig, GPT, by_position=("wpe.weight",)),
                 "llama": Architecture(LlamaConfig, Llama)}
DEFAULT = "gpt"
"""The architecture of a run that names none, as those of version 0.1 do."""


def architecture(name: str) -> Architecture:
    """Return the architecture of that name. Raises UserError where there is none."""
    if name not in ARCHITECTURES:
        raise UserError(f"unknown architecture {name!r}{did_you_mean(name, ARCHITECTURES)}")
    return ARCHITECTURES[name]


def architecture_of(model: Any) -> str:
    """Return the name of a model's architecture. Raises ValueError where it is not entered here."""
    for name, known in ARCHITECTURES.items():
        if type(model.config) is known.config:
            return name
    raise ValueError(f"the architecture of {type(model).__name__} has no name; enter it in "
                     f"models.registry.ARCHITECTURES")
