"""The configuration of a run: settings and presets, and their form in a file.

    [model]
    arch = "gpt"
    layers = 6

    [run]
    steps = 500

The tables may be left out, as in the files of version 0.1.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

from autograd import Tensor

from ..host.errors import UserError, did_you_mean
from ..models import ARCHITECTURES, DEFAULT, LanguageModel, architecture
from ..optim import Arena, Optimizer, make_optimizer
from ..optim.registry import no_setting_of, optimizer_kind, optimizer_settings
from ..optim.schedule import WSD
from .settings import (
    ADAMW,
    TABLES,
    DataSettings,
    FaultSettings,
    MemorySettings,
    OptimizerSettings,
    RunSettings,
    require,
    settings,
    unused_by,
)


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; `make_config` makes one.

    `model` has the name of the architecture, `arch`, and that architecture's settings by name.
    """

    model: Mapping[str, Any]
    data: DataSettings
    optimizer: OptimizerSettings
    run: RunSettings
    memory: MemorySettings
    faults: FaultSettings

    def __post_init__(self) -> None:
        self._sizes(vocab_size=1)
        batch, parts = self.data.batch, self.memory.accumulate
        require(self.memory, f"a divisor of the batch of {batch}: {_divisors(batch)}",
                lambda parts: batch % parts == 0, "accumulate")
        require(self.run, f"a multiple of accumulate, {parts}, or left out",
                lambda slices: slices % parts == 0, "slices")
        if self.memory.loss_chunk and self.model.get("logit_cap"):
            raise UserError("loss_chunk and logit_cap do not go together: logits with a cap are "
                            "made at once; leave one of them out")
        require(self.run, f"at most the batch of {self.data.batch}",
                lambda slices: slices <= self.data.batch, "slices")

    @property
    def arch(self) -> str:
        """The name of the model's architecture."""
        return str(self.model["arch"])

    @property
    def context(self) -> int:
        """The tokens of a window: as many as a prediction can look back on."""
        return int(self.model["context"])

    @property
    def saves_in_background(self) -> bool:
        """Whether checkpoints do; not where averages lie in files, to take no memory for a copy."""
        return self.faults.checkpoint_in_background and not self.memory.offload_moments

    def new_model(self, vocab_size: int, seed: int | None = 0) -> LanguageModel:
        """Return the model for a tokenizer of that size, its weights drawn from the seed, if any.

        Without a seed they are zeros, into which others are read. Raises MemoryError where it does
        not fit, UserError where the token table has fewer rows than the tokenizer has ids.
        """
        rows = self.data.token_rows or vocab_size
        if rows < vocab_size:
            raise UserError(f"token_rows is {rows}, fewer than the {vocab_size} ids of the "
                            f"tokenizer; leave it out")
        sizes = self._sizes(rows)
        try:
            model = architecture(self.arch).model(sizes, seed)
        except ValueError as error:  # NumPy's word for an array that no address reaches
            raise MemoryError(str(error)) from error
        model.recompute, model.loss_chunk = self.memory.recompute, self.memory.loss_chunk
        return model

    def new_optimizer(self, parameters: Mapping[str, Tensor] | Arena) -> Optimizer:
        """Return the optimizer. Raises UserError where a pattern of names matches none."""
        return make_optimizer(self.optimizer.optimizer, parameters, self._of_optimizer())

    def bytes_beside(self, parameters: Mapping[str, Tensor]) -> int:
        """Return the bytes of what the optimizer keeps, and of averaged weights."""
        kind, settings = optimizer_kind(self.optimizer.optimizer), self._of_optimizer()
        average = 1 if self.optimizer.ema else 0
        return sum(p.dtype.itemsize * (average * p.size + sum(
            map(prod, kind.kept(name, p.shape, settings).values())))
            for name, p in parameters.items())

    def _of_optimizer(self) -> dict[str, Any]:
        return {name: getattr(self.optimizer, name)
                for name in optimizer_settings(self.optimizer.optimizer)}

    def _sizes(self, vocab_size: int) -> Any:
        """Return the model's own configuration."""
        sizes = {name: value for name, value in self.model.items() if name != "arch"}
        try:
            return architecture(self.arch).config(vocab_size=vocab_size, **sizes)
        except ValueError as error:
            raise UserError(str(error)) from error

    def flat(self) -> dict[str, Any]:
        """Return all settings by name; of the optimizer's, those that it has."""
        unused = unused_by(self.optimizer.optimizer)
        found = {**self.model, **asdict(self.data), **asdict(self.optimizer), **asdict(self.run),
                 **asdict(self.memory), **asdict(self.faults)}
        return {name: value for name, value in found.items() if name not in unused}


def _divisors(number: int) -> str:
    """Return the first divisors of a number, in words."""
    found = [str(n) for n in range(1, min(number, 10**6) + 1) if number % n == 0]
    return ", ".join(found[:12]) + (", ..." if len(found) > 12 else "")


PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {},
    "baby": {"layers": 6, "heads": 6, "width": 384, "context": 256, "batch": 64, "steps": 5000,
             "dropout": 0.2},
    "gpt2": {"layers": 12, "heads": 12, "width": 768, "context": 1024, "batch": 12,
             "steps": 100_000, "learning_rate": 6e-4, "min_learning_rate": 6e-5, "warmup": 2000,
             "beta2": 0.95},
}
PRESETS |= {f"{name}-llama": {"arch": "llama", **PRESETS[name]} for name in ("tiny", "baby")}
PRESETS["tiny-best"] = {
    "arch": "llama", "activation": "relu_squared", "qk_norm": True, "tied": False,
    "zero_outputs": True, "optimizer": "muon", "learning_rate": 0.02, "min_learning_rate": 0.0,
    "beta2": 0.99, "weight_decay": 0.0, "warmup": 20, "schedule": "wsd", "cooldown": 0.7}
PRESETS["tiny-fast"] = {**PRESETS["tiny-best"], "steps": 1000}
"""Where presets differ from the defaults. `tiny` and `baby` are nanoGPT's published settings for a
CPU and for one GPU (its README, "quick start", and config/train_shakespeare_char.py), `gpt2` is the
shape and the learning rates of its GPT-2 124M reproduction (config/train_gpt2.py) at a smaller
batch. `tiny-llama` and `baby-llama` have the sizes of `tiny` and `baby`, and as many parameters;
`tiny-best` is the best recipe known to us for the tokens of `tiny`, `tiny-fast` the same in fewer
steps (docs/training.md)."""

OLD_NAMES = {"shards": "slices"}
"""The names that version 0.1 gave to settings, which config files and flags may still use."""


def make_config(given: Mapping[str, Any]) -> TrainConfig:
    """Return the configuration: the preset named in `given`, overridden by the rest of it.

    Settings may stand in their tables or outside of them. Raises UserError for an unknown setting,
    preset or architecture, naming the nearest, and for impossible values.
    """
    given = without_tables(given)
    preset = str(given.get("preset", "tiny"))
    if preset not in PRESETS:
        raise UserError(f"unknown preset {preset!r}{did_you_mean(preset, PRESETS)}")
    arch = str(given.get("arch", PRESETS[preset].get("arch", DEFAULT)))
    known = settings(arch)
    for name in given:
        if name not in known:
            having = [other for other in ARCHITECTURES if name in settings(other)]
            raise UserError(f"unknown setting {name!r}{did_you_mean(name, known)}" if not having
                            else f"{name} is a setting of --arch {' or '.join(having)}, and this "
                                 f"run has {arch}; leave it out, or choose that architecture")
    optimizer = str(given.get("optimizer", PRESETS[preset].get("optimizer", ADAMW)))
    unused = unused_by(optimizer)
    for name in given:
        if name in unused:
            raise UserError(no_setting_of(optimizer, name))
    chosen = {name: setting.default for name, setting in known.items()}
    chosen |= {name: value for name, value in _preset(preset, optimizer).items() if name in known}
    chosen |= given
    if chosen["schedule"] != WSD and "cooldown" not in given:
        chosen["cooldown"] = known["cooldown"].default  # a preset's
    tables: dict[str, dict[str, Any]] = {"model": {}, **{table: {} for table in TABLES}}
    for name, value in chosen.items():
        tables[known[name].table][name] = known[name].checked(value)
    return TrainConfig(tables["model"], **{name: kind(**tables[name])
                                           for name, kind in TABLES.items()})


def _preset(preset: str, optimizer: str) -> dict[str, Any]:
    """Return a preset's settings, with an optimizer's usual ones where it is another's preset."""
    values, usual = PRESETS[preset], optimizer_kind(optimizer).usual
    if values.get("optimizer", ADAMW) == optimizer:
        return {**usual, **values}
    tuned = {"optimizer", "learning_rate", "min_learning_rate", *optimizer_settings(optimizer),
             *unused_by(optimizer)}
    return {**{name: value for name, value in values.items() if name not in tuned}, **usual}


def without_tables(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in and outside of tables by the names that they have now.

    Raises UserError where one is set twice.
    """
    pairs = [pair for key, value in given.items() for pair in (
        value.items() if key in ("model", *TABLES) and isinstance(value, Mapping)
        else [(key, value)])]
    found: dict[str, Any] = {}
    for name, value in pairs:
        name = OLD_NAMES.get(name, name)
        if name in found:
            raise UserError(f"{name} is set twice, to {found[name]!r} and {value!r}; leave one out")
        found[name] = value
    return found


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings in a TOML file by name. Raises UserError where it cannot be read."""
    try:
        return without_tables(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"cannot read the settings in {path}: {error.strerror}") from error
    except UserError:
        raise
    except (ValueError, RecursionError) as error:  # text of another kind, or beyond all bounds
        raise UserError(f"{path} is not a TOML file: {error}") from error


def to_toml(config: TrainConfig) -> str:
    """Return the configuration as TOML, each setting in its table and with its help text."""
    values, lines, table = config.flat(), [], None
    for name, setting in settings(config.arch).items():
        if setting.table != table:
            table = setting.table
            lines += ["", f"[{table}]"]
        if name not in values:
            continue
        value = values[name]
        text = str(value).lower() if isinstance(value, bool) else (
            _quoted(value) if isinstance(value, str) else repr(value))
        lines.append(f"{name} = {text}  # {setting.help}")
    return "\n".join(lines[1:]) + "\n"


def _quoted(text: str) -> str:
    escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{escaped}"'
