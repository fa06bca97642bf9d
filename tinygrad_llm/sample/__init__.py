"""From logits to text."""

from .batcher import Batcher
from .chooser import Choice, Chooser, choose_all
from .generate import generate
from .handle import Handle
from .options import Sampling
from .stop import StopStrings

__all__ = ["Batcher", "Choice", "Chooser", "Handle", "Sampling", "StopStrings", "choose_all",
           "generate"]
