"""The settings of a training run, in tables: model, data, optimizer, run, memory, faults.

A setting is a field of a dataclass that is annotated with a help text: written once, it is a flag
of `tinygrad-llm train` and a key in its table of `config.toml`. The table `model` is the
architecture's own configuration. No two settings have the same name, so flags and presets go
without the tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from math import isfinite
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from ..host.errors import UserError, did_you_mean, shortened
from ..models import ARCHITECTURES, DEFAULT, architecture
from ..optim import OPTIMIZERS
from ..optim.groups import read_groups
from ..optim.muon import NO_HIDDEN, PACKED
from ..optim.registry import optimizer_settings, optimizers_with
from ..optim.schedule import SCHEDULES, WSD, schedule_form
from .folder.trouble import LONGEST


def require(table: Any, bounds: str, fine: Callable[[Any], bool], *names: str) -> None:
    """Raise UserError unless the table's settings of these names are within the bounds."""
    for name in names:
        if not fine(value := getattr(table, name)):
            raise UserError(f"{name} must be {bounds}, got {value}")


def require_at_least(least: int, table: Any, *names: str) -> None:
    """Raise UserError unless the table's settings of these names are at least so large."""
    require(table, f"at least {least}", lambda value: value >= least, *names)


@dataclass(frozen=True)
class DataSettings:
    """The text, and how much of it a step sees."""

    data: Annotated[str, "a text file, a folder of them, or 'shakespeare'"] = "shakespeare"
    batch: Annotated[int, "sequences in a batch"] = 12
    tokenizer: Annotated[str, "of a text: char (its characters) or bpe (trained on it)"] = "char"
    vocab_size: Annotated[int, "ids of the BPE tokenizer; 0 for 4096"] = 0
    token_rows: Annotated[int, "rows of the token table; 0 for as many as there are ids"] = 0

    def __post_init__(self) -> None:
        require_at_least(1, self, "batch")
        require_at_least(0, self, "token_rows")
        require(self, "char or bpe; other tokenizers come with a folder that 'tinygrad-llm data "
                "build TEXT --tokenizer PATH' makes", {"char", "bpe"}.__contains__, "tokenizer")
        require(self, "in [257, 2**20]: the 256 bytes are always in it",
                lambda size: size == 0 or 256 < size <= 2**20, "vocab_size")
        require(self, "left out without --tokenizer bpe",
                lambda size: size == 0 or self.tokenizer == "bpe", "vocab_size")


ADAMW = "adamw"


@dataclass(frozen=True)
class OptimizerSettings:
    """How a gradient becomes an update; those that the optimizer does not have are of no use."""

    optimizer: Annotated[str, f"{', '.join(OPTIMIZERS)}; see docs/training.md"] = ADAMW
    learning_rate: Annotated[float, "at its peak, after the warmup"] = 1e-3
    min_learning_rate: Annotated[float, "at the end of the schedule"] = 1e-4
    warmup: Annotated[int, "steps in which the learning rate rises"] = 100
    schedule: Annotated[str, f"behind the warmup: {', '.join(SCHEDULES)}"] = "cosine"
    cooldown: Annotated[float, "share of the steps at the end of wsd, in which it falls"] = 0.2
    beta1: Annotated[float, "decay of the mean of gradients"] = 0.9
    beta2: Annotated[float, "decay of the mean of squared gradients; Lion's of gradients"] = 0.99
    eps: Annotated[float, "term against division by zero"] = 1e-8
    momentum: Annotated[float, "decay of the momentum"] = 0.9
    nesterov: Annotated[bool, "take the gradient ahead of the momentum"] = True
    decoupled: Annotated[bool, "decay the weights themselves, not by their gradients"] = True
    decay_power: Annotated[float, "at step t, decay of squared gradients 1 - t**-this"] = 0.8
    clip_update: Annotated[float, "limit of an update's root mean square"] = 1.0
    relative_step: Annotated[bool, "rates relative to the size of a parameter"] = False
    newton_schulz: Annotated[int, "iterations that make a matrix orthogonal"] = 5
    adamw_for: Annotated[str, "matrices that AdamW takes, as it does vectors"] = NO_HIDDEN
    squares: Annotated[str, "matrices of several maps, which Muon cuts into squares"] = PACKED
    adamw_rate: Annotated[float, "factor of the learning rate for what AdamW takes"] = 0.5
    weight_decay: Annotated[float, "decay of matrices, times the learning rate a step"] = 0.1
    groups: Annotated[str, "factors by name, as 'wte*: lr=0.5 decay=0; *.bias: lr=2'"] = ""
    clip: Annotated[float, "limit of the gradient's global norm; 0 for none"] = 1.0
    ema: Annotated[float, "decay of an average of the weights, as 0.999; 0 for none"] = 0.0

    def __post_init__(self) -> None:
        schedule_form(self.schedule)
        require(self, "in (0, 1]", lambda share: 0 < share <= 1, "cooldown")
        require(self, "left out without --schedule wsd",
                lambda share: share == 0.2 or self.schedule == WSD, "cooldown")
        require_at_least(0, self, "min_learning_rate", "warmup", "weight_decay", "clip",
                         "adamw_rate")
        require_at_least(1, self, "newton_schulz")
        require(self, "above 0", lambda value: value > 0, "learning_rate", "eps", "decay_power",
                "clip_update")
        require(self, "in [0, 1)", lambda share: 0 <= share < 1, "beta1", "beta2", "momentum",
                "ema")
        read_groups(self.groups)


def unused_by(optimizer: str) -> list[str]:
    """Return the settings that other optimizers have, and this one does not.

    Raises UserError for an unknown optimizer.
    """
    own = optimizer_settings(optimizer)
    return [field.name for field in fields(OptimizerSettings)
            if field.name not in own and optimizers_with(field.name)]


PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class RunSettings:
    """How long, from which seed, and what is looked at on the way."""

    preset: Annotated[str, "the settings to start from; see tinygrad-llm presets"] = "tiny"
    seed: Annotated[int, "determines the weights, the batches, dropout and the samples"] = 1337
    steps: Annotated[int, "updates of the weights"] = 2000
    precision: Annotated[str, f"type of a step's numbers: {', '.join(PRECISIONS)}"] = "float32"
    stochastic_rounding: Annotated[bool, "weights of bfloat16 without float32 masters, rounded up "
                                   "or down by chance; with --precision bfloat16"] = False
    slices: Annotated[int, "parts a batch is cut into for threads; 0 for what suits its size"] = 0
    log_every: Annotated[int, "steps between two lines of metrics.jsonl"] = 10
    look_every: Annotated[int, "steps between two looks at each layer's norms; 0 for none"] = 50
    eval_every: Annotated[int, "steps between two validation losses; 0 for none"] = 250
    eval_batches: Annotated[int, "batches that a validation loss is averaged over"] = 20
    final_eval_batches: Annotated[int, "the same for the last one, at the end; 0 for none"] = 400
    sample_every: Annotated[int, "steps between two samples of text; 0 for none"] = 500
    sample_tokens: Annotated[int, "tokens in such a sample"] = 200
    checkpoint_every: Annotated[int, "steps between two checkpoints; 0: one at the end only"] = 500
    keep: Annotated[int, "newest checkpoints to keep, besides that of the best validation"] = 2

    def __post_init__(self) -> None:
        require_at_least(1, self, "steps", "log_every", "eval_batches", "keep")
        require_at_least(0, self, "slices", "look_every", "eval_every", "final_eval_batches",
                         "sample_every", "sample_tokens", "checkpoint_every")
        require(self, "in [0, 2**64)", lambda value: 0 <= value < 2**64, "seed")
        if self.precision not in PRECISIONS:
            raise UserError(f"precision: there is no {self.precision!r}"
                            f"{did_you_mean(self.precision, PRECISIONS)}")
        if self.stochastic_rounding and self.precision != "bfloat16":
            raise UserError(f"stochastic_rounding is of weights of bfloat16, and precision is "
                            f"{self.precision}; give --precision bfloat16, or begin a run without "
                            f"--stochastic-rounding")


@dataclass(frozen=True)
class MemorySettings:
    """What a step does to take less memory."""

    accumulate: Annotated[int, "parts of a batch, of which one at a time is worked on"] = 1
    recompute: Annotated[bool, "keep nothing of a block: compute it again for its gradient"] = False
    loss_chunk: Annotated[int, "rows of logits that are held at a time; 0 for all"] = 0
    offload_moments: Annotated[bool, "the optimizer's averages in files, not in memory"] = False

    def __post_init__(self) -> None:
        require_at_least(1, self, "accumulate")
        require_at_least(0, self, "loss_chunk")


@dataclass(frozen=True)
class FaultSettings:
    """How a run goes on in trouble."""

    on_nonfinite: Annotated[str, "a loss or gradient that is not finite: stop, skip (leave its "
                            "batch out) or rollback (all since the last checkpoint)"] = "stop"
    on_spike: Annotated[str, "a loss far above the last ones: report, skip or rollback"] = "report"
    spike_factor: Annotated[float, "times the median loss of spike_window steps, from which on a "
                            "loss is a spike; 0 for never"] = 2.0
    spike_window: Annotated[int, "steps whose losses a spike is compared with"] = 100
    most_faults: Annotated[int, "batches that are skipped or rolled back from until a run stops"
                           ] = 20
    reader_timeout: Annotated[float, "seconds of a wait for data until it is said; 0: never"] = 30.0
    checkpoint_in_background: Annotated[bool, "write checkpoints while the run goes on; false: "
                                        "wait, and need no memory for a copy"] = True

    def __post_init__(self) -> None:
        require(self, "stop, skip or rollback", {"stop", "skip", "rollback"}.__contains__,
                "on_nonfinite")
        require(self, "report, skip or rollback", {"report", "skip", "rollback"}.__contains__,
                "on_spike")
        require(self, "0 or above 1", lambda value: value == 0 or value > 1, "spike_factor")
        require(self, f"in [1, {LONGEST}]", lambda value: 1 <= value <= LONGEST, "spike_window")
        require_at_least(0, self, "most_faults", "reader_timeout")

    def rolls_back(self) -> bool:
        """Whether the run may go back to a checkpoint of its own."""
        return "rollback" in (self.on_nonfinite, self.on_spike)


TABLES = {"data": DataSettings, "optimizer": OptimizerSettings, "run": RunSettings,
          "memory": MemorySettings, "faults": FaultSettings}


@dataclass(frozen=True)
class Setting:
    """A setting without a value: its table and name, its kind, default and help text."""

    table: str
    name: str
    kind: type
    default: Any
    help: str

    def checked(self, value: Any) -> Any:
        """Return the value; a whole number as a float where one is wanted.

        Raises UserError for another kind, for what 64 bits do not hold, and for a text that is no
        Unicode.
        """
        if self.kind is float and type(value) is int and abs(value) < 2**64:
            return float(value)
        if type(value) is not self.kind:
            raise UserError(f"{self.name}: expected {_KINDS[self.kind]}, got {shortened(value)}")
        if (reason := _unfit(value)) is not None:
            raise UserError(f"{self.name}: {shortened(value)} {reason}")
        return value


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _unfit(value: Any) -> str | None:
    """Return why a value of the right kind cannot be a setting, if it cannot."""
    if isinstance(value, int) and not -2**63 <= value < 2**64:
        return "is beyond 64 bits"
    if isinstance(value, float) and not isfinite(value):
        return "is not finite"
    if isinstance(value, str) and value != value.encode(errors="replace").decode():
        return "has bytes that are no UTF-8, so it cannot be written down; rename it"
    return None


def settings(arch: str = DEFAULT) -> dict[str, Setting]:
    """Return the settings of a run of that architecture by name, table after table."""
    found = {"arch": Setting("model", "arch", str, DEFAULT,
                             f"architecture: {', '.join(ARCHITECTURES)}")}
    for table, kind in {"model": architecture(arch).config, **TABLES}.items():
        hints = get_type_hints(kind, include_extras=True)
        for field in fields(kind):
            if get_origin(hints[field.name]) is Annotated:
                of, help = get_args(hints[field.name])
                having = optimizers_with(field.name) if table == "optimizer" else []
                if 0 < len(having) < len(OPTIMIZERS):
                    help += f"; of {', '.join(having)}"
                found[field.name] = Setting(table, field.name, of, field.default, help)
    return found
