"""A run's folder: its checkpoints, and the record of what it was trained on."""
