"""Trouble in the middle of a run, and how the run goes on."""
