"""The next tokens of many texts at once, written out on plain arrays."""

from .step import OtherModel, Step, stepper

__all__ = ["OtherModel", "Step", "stepper"]
