"""Text to numbers and back."""

from .algorithms.bpe import BPE
from .batch import encode_batch, encode_file
from .char_tokenizer import CharTokenizer
from .formats import load_tokenizer, save_tokenizer
from .special import AddedToken, AddedTokens
from .tokenizer import Tokenizer
from .training.bpe import train_bpe
from .training.unigram import train_unigram
from .training.wordpiece import train_wordpiece

__all__ = ["BPE", "AddedToken", "AddedTokens", "CharTokenizer", "Tokenizer", "encode_batch",
           "encode_file", "load_tokenizer", "save_tokenizer", "train_bpe", "train_unigram",
           "train_wordpiece"]
