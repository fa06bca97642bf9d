"""Optimizers by name: nothing but this file names their classes to a run."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

from autograd import Tensor

from ..host.errors import UserError, did_you_mean
from .adafactor import Adafactor
from .adamw import AdamW
from .arena import Arena
from .lion import Lion
from .muon import Muon
from .optimizer import Optimizer
from .sgd import SGD

OPTIMIZERS: dict[str, type[Optimizer]] = {"adamw": AdamW, "sgd": SGD, "lion": Lion,
                                          "adafactor": Adafactor, "muon": Muon}


def optimizer_kind(name: str) -> type[Optimizer]:
    """Return an optimizer's class. Raises UserError for an unknown name, with the nearest."""
    if name not in OPTIMIZERS:
        raise UserError(f"unknown optimizer {name!r}{did_you_mean(name, OPTIMIZERS)}")
    return OPTIMIZERS[name]


def optimizer_settings(name: str) -> list[str]:
    """Return the names of an optimizer's settings. Raises UserError for an unknown optimizer."""
    return [*signature(optimizer_kind(name)).parameters][1:]


def optimizers_with(setting: str) -> list[str]:
    """Return the names of the optimizers that have a setting."""
    return [name for name in OPTIMIZERS if setting in optimizer_settings(name)]


def make_optimizer(name: str, parameters: Mapping[str, Tensor] | Arena,
                   settings: Mapping[str, Any]) -> Optimizer:
    """Return an optimizer by its name, with settings by theirs.

    Raises UserError for an optimizer that is not known, or that has no setting of such a name.
    """
    known = optimizer_settings(name)
    for setting in settings:
        if setting not in known:
            raise UserError(no_setting_of(name, setting))
    return optimizer_kind(name)(parameters, **settings)


def no_setting_of(name: str, setting: str) -> str:
    """Return the message about a setting that an optimizer does not have."""
    having = optimizers_with(setting)
    if not having:
        return f"unknown setting {setting!r}{did_you_mean(setting, optimizer_settings(name))}"
    return (f"{setting} is a setting of the optimizer {' or '.join(having)}, and this one is "
            f"{name}; leave it out, or choose that optimizer")
