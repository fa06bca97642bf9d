"""Attention, in two forms that give the same numbers."""
