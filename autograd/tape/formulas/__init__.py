"""The formulas of docstrings: read, explained, and written for a terminal, a page or LaTeX."""
