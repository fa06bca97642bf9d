"""From texts to a tokenizer of one's own."""
