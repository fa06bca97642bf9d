"""Sweeps: a small grid of runs, resumable and in parallel, its table, and a law of sizes."""

from .grid import Sweep, read_sweep
from .power_law import PowerLaw, fit_power_law
from .runs import run_sweep
from .table import plot, results, table

__all__ = ["PowerLaw", "Sweep", "fit_power_law", "plot", "read_sweep", "results", "run_sweep",
           "table"]
