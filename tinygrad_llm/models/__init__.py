"""Models, one family a file, and the registry in which they are found by name."""

from .gpt import GPT, GPTConfig
from .registry import (
    ARCHITECTURES,
    DEFAULT,
    Architecture,
    LanguageModel,
    architecture,
    architecture_of,
)

__all__ = ["ARCHITECTURES", "DEFAULT", "GPT", "Architecture", "GPTConfig", "LanguageModel",
           "architecture", "architecture_of"]
