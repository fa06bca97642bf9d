"""Watch runs while they train: a local page, live, with all that their records say."""

from .runs import Feed, find_runs
from .server import serve

__all__ = ["Feed", "find_runs", "serve"]
