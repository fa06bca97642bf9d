"""Everything a training run is determined by: one flat table, its presets and its file form.

Each field is a flag of `tinygrad-llm train` and a key of a TOML file; its help text is written
once, here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..host.errors import UserError
from ..models import GPTConfig


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; the defaults are the preset `tiny`."""

    preset: str = _option("tiny", "the settings to start from: tiny, baby or gpt2")
    data: str = _option("shakespeare", "a text file, a folder of them, or 'shakespeare'")
    seed: int = _option(1337, "determines the weights, the batches, dropout and the samples")

    layers: int = _option(4, "transformer layers")
    heads: int = _option(4, "attention heads; width must be a multiple")
    width: int = _option(128, "width of the residual stream")
    context: int = _option(64, "tokens that a prediction can look back on")
    dropout: float = _option(0.0, "share of activations dropped in training")
    bias: bool = _option(True, "biases in linear maps and layer norms, as in GPT-2")

    steps: int = _option(2000, "updates of the weights")
    batch: int = _option(12, "sequences in a batch")
    learning_rate: float = _option(1e-3, "at its peak, after the warmup")
    min_learning_rate: float = _option(1e-4, "at the end of the cosine decay")
    warmup: int = _option(100, "steps in which the learning rate rises")
    beta1: float = _option(0.9, "AdamW's decay of the mean of gradients")
    beta2: float = _option(0.99, "AdamW's decay of the mean of squared gradients")
    eps: float = _option(1e-8, "AdamW's term against division by zero")
    weight_decay: float = _option(0.1, "AdamW's decay of matrices")
    clip: float = _option(1.0, "limit of the gradient's global norm; 0 for none")
    slices: int = _option(0, "parts a batch is cut into for threads; 0 for what suits its size")

    log_every: int = _option(10, "steps between two lines of metrics.jsonl")
    eval_every: int = _option(250, "steps between two validation losses; 0 for none")
    eval_batches: int = _option(20, "batches that a validation loss is averaged over")
    final_eval_batches: int = _option(400, "the same for the last one, at the end; 0 for none")
    sample_every: int = _option(500, "steps between two samples of text; 0 for none")
    sample_tokens: int = _option(200, "tokens in such a sample")
    checkpoint_every: int = _option(500, "steps between two checkpoints; 0 for one at the end only")

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if type(value) is int and f.type == "float":
                object.__setattr__(self, f.name, float(value))
            elif type(value).__name__ != f.type:
                raise UserError(f"{f.name}: expected {_KINDS[str(f.type)]}, got {value!r}")
        for name in ("steps", "batch", "layers", "heads", "width", "context", "log_every",
                     "eval_batches"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("slices", "warmup", "clip", "weight_decay", "min_learning_rate", "eval_every",
                     "final_eval_batches", "sample_every", "sample_tokens", "checkpoint_every"):
            self._require(name, getattr(self, name) >= 0, "at least 0")
        self._require("slices", self.slices <= self.batch, f"at most the batch of {self.batch}")
        for name in ("learning_rate", "eps"):
            self._require(name, getattr(self, name) > 0, "above 0")
        self._require("seed", 0 <= self.seed < 2**64, "in [0, 2**64)")
        for name in ("beta1", "beta2", "dropout"):
            self._require(name, 0 <= getattr(self, name) < 1, "in [0, 1)")
        try:
            self.model(vocab_size=1)
        except ValueError as error:
            raise UserError(str(error)) from error

    def _require(self, name: str, fine: bool, bounds: str) -> None:
        if not fine:
            raise UserError(f"{name} must be {bounds}, got {getattr(self, name)}")

    def model(self, vocab_size: int) -> GPTConfig:
        """Return the model's configuration for a tokenizer of that size."""
        return GPTConfig(vocab_size, self.context, self.layers, self.heads, self.width,
                         self.dropout, self.bias)


_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {},
    "baby": {"layers": 6, "heads": 6, "width": 384, "context": 256, "batch": 64, "steps": 5000,
             "dropout": 0.2},
    "gpt2": {"layers": 12, "heads": 12, "width": 768, "context": 1024, "batch": 12,
             "steps": 100_000, "learning_rate": 6e-4, "min_learning_rate": 6e-5, "warmup": 2000,
             "beta2": 0.95},
}
"""What differs from the defaults. `tiny` and `baby` are nanoGPT's published settings for a CPU and
for one GPU (its README, "quick start", and config/train_shakespeare_char.py), `gpt2` is the shape
and the learning rates of its GPT-2 124M reproduction (config/train_gpt2.py) at a smaller batch."""


OLD_NAMES = {"shards": "slices"}
"""What version 0.1 called a setting, which config files and flags may still do."""


def with_new_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings under the names that they have now."""
    return {OLD_NAMES.get(name, name): value for name, value in given.items()}


def make_config(given: Mapping[str, Any]) -> TrainConfig:
    """Return the configuration: the preset named in `given`, overridden by the rest of it.

    Raises UserError for an unknown key or preset, naming the nearest, and for impossible values.
    """
    names = [f.name for f in fields(TrainConfig)]
    given = with_new_names(given)
    for key in given:
        if key not in names:
            raise UserError(f"unknown setting {key!r}{_nearest(key, names)}")
    preset = given.get("preset", "tiny")
    if preset not in PRESETS:
        raise UserError(f"unknown preset {preset!r}{_nearest(str(preset), list(PRESETS))}")
    return TrainConfig(**{**PRESETS[preset], **given})


def _nearest(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings in a TOML file. Raises UserError where it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the settings in {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a TOML file: {error}") from error


def to_toml(config: TrainConfig) -> str:
    """Return the configuration as TOML, each setting with its help text."""
    lines = []
    for f in fields(config):
        value = getattr(config, f.name)
        text = str(value).lower() if isinstance(value, bool) else (
            _quoted(value) if isinstance(value, str) else repr(value))
        lines.append(f"{f.name} = {text}  # {f.metadata['help']}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{escaped}"'
