"""Files that hold tokenizers: a module for each kind of file, and `kinds`, which chooses."""

from .kinds import LOADERS, SAVERS, kind_of, load_tokenizer, save_tokenizer

__all__ = ["LOADERS", "SAVERS", "kind_of", "load_tokenizer", "save_tokenizer"]
