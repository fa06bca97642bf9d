"""The file of a sweep: settings that all runs have, and lists of those in which they differ.

    seeds = [1337, 1, 2]

    [train]
    preset = "tiny"
    steps = 500

    [grid]
    learning_rate = [1e-3, 3e-3]
    width = [64, 128]

A run is trained for each choice of one value from each list, and each seed: 12 here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from ..host.errors import UserError, did_you_mean, shortened
from ..train.config import TrainConfig, make_config, without_tables
from ..train.run import check_rates

MOST = 300  # runs of a sweep
Point = Mapping[str, Any]
"""One value of each setting of the grid, by name."""


@dataclass(frozen=True)
class Trial:
    """One run of a sweep: the folder's name, its point of the grid, its seed, its settings."""

    name: str
    point: Point
    seed: int
    config: TrainConfig


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep, in the order of the grid, its last setting and the seeds fastest."""

    grid: Mapping[str, tuple[Any, ...]]
    seeds: tuple[int, ...]
    trials: tuple[Trial, ...]


def read_sweep(path: Path) -> Sweep:
    """Return the sweep that a TOML file describes.

    Raises UserError where it cannot be read, for an empty grid and one that is too large, for
    unknown tables and settings, of which the nearest is named, and for impossible values.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the sweep in {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a TOML file: {error}") from error
    for name in given.keys() - {"seeds", "train", "grid"}:
        raise UserError(f"{path}: unknown {name!r}{did_you_mean(name, ('seeds', 'train', 'grid'))}")
    tables = {name: given.get(name, {}) for name in ("train", "grid")}
    for name, value in tables.items():
        if not isinstance(value, dict):
            raise UserError(f"{path}: {name} is the table [{name}], got {shortened(value)}")
    base, lists = (without_tables(tables[name]) for name in ("train", "grid"))
    return make_sweep(base, lists, given.get("seeds", [base.get("seed", 1337)]))


def make_sweep(base: Mapping[str, Any], lists: Mapping[str, Any], seeds: Any) -> Sweep:
    """Return the sweep over `lists` of values by setting; raises as `read_sweep` does."""
    grid = {name: _values(name, values) for name, values in lists.items()}
    seeds = _values("seeds", seeds)
    if not grid:
        raise UserError("the grid is empty: name settings in [grid], each with a list of values, "
                        "as learning_rate = [1e-3, 3e-3]")
    if "seed" in grid:
        raise UserError("seed stands in the grid; name the seeds above the tables, as "
                        "seeds = [1, 2], and their mean and spread is shown")
    for name in grid.keys() & base.keys():
        raise UserError(f"{name} stands in [train] and in [grid]; leave one out")
    if (count := prod(map(len, grid.values())) * len(seeds)) > MOST:
        raise UserError(f"the grid has {count:,} runs, more than {MOST}; leave values or seeds out")
    points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    return Sweep(grid, seeds, tuple(_trial(base, point, seed) for point in points
                                    for seed in seeds))


def _values(name: str, values: Any) -> tuple[Any, ...]:
    """Return the values of a list, each once."""
    if not isinstance(values, list) or not values:
        raise UserError(f"{name}: expected a list of values, such as [1, 2], got "
                        f"{shortened(values)}")
    for i, value in enumerate(values):
        if any(value == former and type(value) is type(former) for former in values[:i]):
            raise UserError(f"{name} has {shortened(value)} twice; leave one out")
    return tuple(values)


def _trial(base: Mapping[str, Any], point: Point, seed: Any) -> Trial:
    try:
        config = make_config({**base, **point, "seed": seed})
        check_rates(config)
        if not config.run.final_eval_batches:
            raise UserError("final_eval_batches is 0, and a sweep compares the final validation "
                            "losses; leave it out, or give more")
    except UserError as error:
        raise UserError(f"the run of {described({**point, 'seed': seed})}: {error}") from error
    return Trial(_folder_name({**point, "seed": seed}), point, seed, config)


def described(point: Point) -> str:
    """Return a point in words.

    >>> described({"learning_rate": 0.001, "arch": "llama"})
    'learning_rate=0.001, arch=llama'
    """
    return ", ".join(f"{name}={value}" for name, value in point.items())


def _folder_name(point: Point) -> str:
    """Return a name that any file system takes, and that no other point has."""
    plain = described(point).replace(", ", ",")
    safe = re.sub(r"[^\w=.,+-]", "_", plain, flags=re.ASCII)
    if safe == plain and len(safe) <= 100:
        return safe
    return f"{safe[:100]}-{sha256(plain.encode()).hexdigest()[:8]}"
