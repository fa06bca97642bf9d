"""Planning: what a run will take, from a few seconds of it on this machine."""

from .choose import bytes_of, choose, sentence
from .page import as_json, compared, report
from .predict import SECONDS, Plan, Trial, predict

__all__ = ["SECONDS", "Plan", "Trial", "as_json", "bytes_of", "choose", "compared", "predict",
           "report", "sentence"]
