"""From gradients to updated weights."""

from .adafactor import Adafactor
from .adamw import AdamW
from .arena import Arena
from .clip import clip_by_global_norm, clip_scale, global_norm
from .ema import EMA
from .lion import Lion
from .muon import Muon
from .optimizer import Optimizer
from .registry import OPTIMIZERS, make_optimizer
from .schedule import Schedule
from .sgd import SGD

__all__ = ["EMA", "OPTIMIZERS", "SGD", "Adafactor", "AdamW", "Arena", "Lion", "Muon", "Optimizer",
           "Schedule", "clip_by_global_norm", "clip_scale", "global_norm", "make_optimizer"]
