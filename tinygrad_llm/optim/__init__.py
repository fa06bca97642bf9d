"""From gradients to updated weights."""

from .adafactor import Adafactor
from .adamw import AdamW
from .arena import Arena
from .clip import clip_by_global_norm, clip_scale, global_norm
from .lion import Lion
from .muon import Muon
from .optimizer import Optimizer
from .registry import OPTIMIZERS, make_optimizer
from .schedule import cosine_with_warmup
from .sgd import SGD

__all__ = ["OPTIMIZERS", "SGD", "Adafactor", "AdamW", "Arena", "Lion", "Muon", "Optimizer",
           "clip_by_global_norm", "clip_scale", "cosine_with_warmup", "global_norm",
           "make_optimizer"]
