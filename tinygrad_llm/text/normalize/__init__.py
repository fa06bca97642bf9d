"""One spelling for texts that look alike or mean the same."""
