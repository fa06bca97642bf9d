"""Training: one update, and the run around it."""

from .config import PRESETS, TrainConfig, make_config
from .loop import train
from .objective import Objective
from .run import load_model, resume_run, start_run
from .step import next_token, train_step

__all__ = ["PRESETS", "Objective", "TrainConfig", "load_model", "make_config", "next_token",
           "resume_run", "start_run", "train", "train_step"]
