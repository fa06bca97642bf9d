"""From logits to text."""

from .batcher import Batcher
from .beam import Beam, beam_search
from .chooser import Choice, Chooser, choose_all
from .generate import generate
from .handle import Handle
from .options import Sampling
from .prefixes import Prefixes
from .speculate import Draft, LookUp, ModelDraft
from .stop import StopStrings

__all__ = ["Batcher", "Beam", "Choice", "Chooser", "Draft", "Handle", "LookUp", "ModelDraft",
           "Prefixes", "Sampling", "StopStrings", "beam_search", "choose_all", "generate"]
