"""One file a claim; each prints JSON lines."""
