"""From raw files to shards of tokens, resumable at any point."""
