"""Weights in the files of other projects: Hugging Face's folders, and GGUF."""
