"""Models, one family a file, and the registry in which they are found by name."""

from .gpt import GPT, GPTConfig
from .llama import Llama, LlamaConfig
from .registry import (
    ARCHITECTURES,
    DEFAULT,
    Architecture,
    LanguageModel,
    architecture,
    architecture_of,
)

__all__ = ["ARCHITECTURES", "DEFAULT", "GPT", "Architecture", "GPTConfig", "LanguageModel",
           "Llama", "LlamaConfig", "architecture", "architecture_of"]
