"""From logits to text."""

from . import gpt_writer as _gpt_writer  # noqa: F401, enters the twin
from .batcher import Batcher
from .chooser import Choice, Chooser, choose_all
from .generate import Writer, generate
from .handle import Handle
from .options import Sampling
from .stop import StopStrings

__all__ = ["Batcher", "Choice", "Chooser", "Handle", "Sampling", "StopStrings", "Writer",
           "choose_all", "generate"]
