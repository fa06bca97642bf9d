"""GGUF files: their blocks of few bits, header and tensors, tokenizer, sizes, and the model."""
