"""Cross-entropy, of logits and of the hidden state before them."""
