"""Text to numbers and back."""

from .batch import encode_batch, encode_file
from .bpe import BPE
from .char import CharTokenizer
from .formats import load_tokenizer, save_tokenizer
from .special import AddedToken, AddedTokens
from .tokenizer import Tokenizer
from .train_bpe import train_bpe
from .train_unigram import train_unigram
from .train_wordpiece import train_wordpiece

__all__ = ["BPE", "AddedToken", "AddedTokens", "CharTokenizer", "Tokenizer", "encode_batch",
           "encode_file", "load_tokenizer", "save_tokenizer", "train_bpe", "train_unigram",
           "train_wordpiece"]
