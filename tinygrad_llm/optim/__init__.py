"""From gradients to updated weights."""

from .adamw import AdamW
from .arena import Arena
from .clip import clip_by_global_norm, clip_scale, global_norm
from .schedule import cosine_with_warmup

__all__ = ["AdamW", "Arena", "clip_by_global_norm", "clip_scale", "cosine_with_warmup",
           "global_norm"]
