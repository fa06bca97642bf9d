"""Where a text is cut before a model sees its pieces."""
