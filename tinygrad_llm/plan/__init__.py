"""Planning: what a run will take, from a few seconds of it on this machine."""

from .page import as_json, compared, report
from .predict import SECONDS, Plan, predict

__all__ = ["SECONDS", "Plan", "as_json", "compared", "predict", "report"]
