"""Characters: their spelling in files, their kinds, and where each came from."""
