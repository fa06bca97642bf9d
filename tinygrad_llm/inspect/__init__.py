"""Look inside a model: what each part of it does with one text, as arrays and as a page."""

from .observe import Look, observe
from .page import most_tokens, page, write

__all__ = ["Look", "most_tokens", "observe", "page", "write"]
