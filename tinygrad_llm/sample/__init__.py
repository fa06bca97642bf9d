"""From logits to text."""

from . import gpt_writer as _gpt_writer  # noqa: F401, enters the twin
from .chooser import Choice, Chooser, choose_all
from .generate import Writer, generate
from .options import Sampling
from .stop import StopStrings

__all__ = ["Choice", "Chooser", "Sampling", "StopStrings", "Writer", "choose_all", "generate"]
