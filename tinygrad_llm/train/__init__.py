"""Training: one update, and the run around it."""

from .config import PRESETS, TrainConfig, make_config
from .loop import load_model, resume_run, start_run, train
from .step import train_step

__all__ = ["PRESETS", "TrainConfig", "load_model", "make_config", "resume_run", "start_run",
           "train", "train_step"]
