"""From a piece of text to its tokens: byte-pair encoding, WordPiece, Unigram, characters."""
