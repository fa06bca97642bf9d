"""The choice of documents, and of what is kept of their text."""
