"""Which runs there are, how they stand, and what is new of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..host.errors import UserError, quoted
from ..host.lock import is_held
from ..train.config import make_config, read_settings
from ..train.run import PRETRAINED
from .follow import Follower

DEPTH = 3  # folders below a folder of runs
AT_ONCE = 1000  # records in a message


def find_runs(places: Sequence[Path]) -> list[Path]:
    """Return the folders of the runs: each place itself, or all in it, also where that is none yet.

    Raises UserError for a place that does not exist, or is a file.
    """
    found: dict[Path, Path] = {}
    for place in places:
        runs = list(_within(place, DEPTH))
        if not place.is_dir():
            raise UserError(f"there is no run in {place}{_nearest(place)}")
        found |= {run.resolve(): run for run in runs if run.resolve() not in found}
    return list(found.values())


def _within(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / "config.toml").is_file():
        if not (folder / PRETRAINED).is_dir():  # a model from elsewhere is trained in other folders
            yield folder
    elif depth and folder.is_dir():
        for inner in sorted(folder.iterdir()):
            if not inner.name.startswith("."):
                with suppress(OSError):  # another user's, or gone meanwhile
                    yield from _within(inner, depth - 1)


def _nearest(place: Path) -> str:
    """Return the end of a message about a place without a run: the nearest that has one."""
    above = next((folder for folder in place.absolute().parents if folder.is_dir()), place)
    around = [*_within(above, 1), *_within(Path("runs"), 1)]
    names = {run.name: run for run in around}
    nearest = get_close_matches(place.name, names, n=1, cutoff=0.4)
    if nearest:
        return f"; did you mean {names[nearest[0]]}?"
    shown = ", ".join(str(run) for run in around[:5])
    return f"; there are {shown}" if shown else "; train one: tinygrad-llm train"


class Feed:
    """What a page has not been sent yet of the runs in some places."""

    def __init__(self, places: Sequence[Path]) -> None:
        self.places, self.sent = places, ""
        self.followers: dict[Path, Follower] = {}

    def news(self) -> Iterator[str]:
        """Yield messages, JSON: the runs, where anything about them changed, and new records."""
        runs: list[Path] = []
        with suppress(OSError):
            runs = find_runs([place for place in self.places if place.is_dir()])  # some may be gone
        self.followers = {run: self.followers.get(run) or Follower(run / "metrics.jsonl")
                          for run in runs}
        held = {run: is_held(run / "lock") for run in runs}  # before its last record is read
        read = {run: self.followers[run].news() for run in runs}
        facts = json.dumps({"runs": [facts_of(run, held[run], self.followers[run].last)
                                     for run in runs]})
        if facts != self.sent:
            yield facts
        self.sent = facts
        for run, (anew, records) in read.items():
            for start in range(0, max(len(records), int(anew)), AT_ONCE):
                yield json.dumps({"run": str(run), "anew": anew and start == 0,
                                  "records": records[start : start + AT_ONCE]})


def facts_of(run: Path, held: bool, last: dict[str, Any]) -> dict[str, Any]:
    """Return a run's name, state, settings, and how to go on with it.

    `last` is its last record. A run that no process holds is "done", or has "stopped".
    """
    try:
        config = make_config(read_settings(run / "config.toml"))
    except (UserError, OSError) as error:
        return {"name": str(run), "state": "damaged", "why": str(error), "settings": {}}
    end, steps = last.get("end"), config.run.steps
    done = end == "done" or (end is None and last.get("step", 0) >= steps and (  # before 0.2
        "val_loss" in last or not config.run.final_eval_batches))
    return {"name": str(run), "state": "running" if held else "done" if done else "stopped",
            "why": "" if held or done or not isinstance(end, str) else end, "steps": steps,
            "tokens": config.data.batch * config.context, "settings": config.flat(),
            "go_on": f"tinygrad-llm train --resume --out {quoted(run)}"}
