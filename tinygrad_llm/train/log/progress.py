"""The line in the terminal: how far a run is, its recent losses, and the time that is left."""

from __future__ import annotations

import sys
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from statistics import fmean
from typing import Any

from tqdm import tqdm

from ...host.output import Lines
from ..settings import RunSettings

BARS = "▁▂▃▄▅▆▇█"
CELLS, LOSSES = 16, 20  # of the sparkline, and in each
GUESSED = {"validation": 1 / 3, "sample": 0.02, "save": 0.5, "look": 0.1}
"""Steps that a batch of an evaluation, a token of a sample, a checkpoint and a look are taken to
last before the first of them was measured: a forward pass is a third of a step."""


class Progress:
    """A run's bar, its pace and its time left, from step `step` of `settings` on.

    A step has `tokens`; unless `evaluates`, there is nothing to evaluate the run on.
    """

    def __init__(self, settings: RunSettings, step: int, tokens: int, evaluates: bool) -> None:
        self.settings, self.at, self.tokens, self.evaluates = settings, step, tokens, evaluates
        self.steps: deque[float] = deque(maxlen=100)  # seconds of the last ones
        self.spent: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
        self.finished: dict[str, int] = {}  # the step behind which a kind was last done
        self.losses: deque[float] = deque(maxlen=CELLS * LOSSES)
        self.since, self.done, self.last = time.perf_counter(), 0, time.perf_counter()
        self.bar = progress_bar(settings.steps, "training", "step", left="left", initial=step)
        self.bar.progress = self

    def step(self, step: int, loss: float) -> None:
        """Note that step number `step` is done, with its loss."""
        now = time.perf_counter()
        self.steps.append(now - self.last)
        self.at, self.last, self.done = step, now, self.done + 1
        self.losses.append(loss)
        self.bar.update(step - self.bar.n)

    def go_back(self, step: int) -> None:
        """Note that the run is behind step number `step` again, or that a batch was left out."""
        self.at = step
        self.bar.update(step - self.bar.n)

    @contextmanager
    def doing(self, kind: str, count: int = 1) -> Iterator[None]:
        """Measure the block as `count` things of a kind of `GUESSED`, and not as part of a step."""
        began = time.perf_counter()
        yield
        took = time.perf_counter() - began
        self.spent[kind].append((took, count))
        self.finished[kind] = self.at
        self.since, self.last = self.since + took, self.last + took

    def tokens_per_second(self) -> float:
        """Return the pace of steps alone, since the last call or since the beginning."""
        now = time.perf_counter()
        pace = self.done * self.tokens / max(now - self.since, 1e-9)
        self.done, self.since = 0, now
        return round(pace, 1)

    def left(self) -> float | None:
        """Return the seconds that steps, evaluations, samples and checkpoints will still take.

        None before the first step.
        """
        if not self.steps:
            return None
        step = fmean([*self.steps][1:] or self.steps)  # the first takes longer: new memory
        return (self.settings.steps - self.at) * step + sum(
            count * self._price(kind, step) for kind, count in self._coming().items())

    def _coming(self) -> dict[str, int]:
        """Return how many things of each kind are to come."""
        s = self.settings
        times = {kind: self._times(kind, every) for kind, every in (
            ("validation", s.eval_every), ("sample", s.sample_every), ("save", s.checkpoint_every),
            ("look", s.look_every))}
        return {"validation": self.evaluates * (times["validation"] * s.eval_batches
                                                + s.final_eval_batches),
                "sample": times["sample"] * s.sample_tokens, "save": times["save"] + 1,
                "look": times["look"]}

    def _times(self, kind: str, every: int) -> int:
        """Return how often a kind is due before the last step, and behind this one if not done."""
        past = self.at if self.finished.get(kind) == self.at else self.at - 1
        return max(0, (self.settings.steps - 1) // every - past // every) if every else 0

    def _price(self, kind: str, step: float) -> float:
        """Return what one thing of a kind takes: the mean of those that were done, or a guess."""
        times, counts = zip(*self.spent[kind], strict=True) if self.spent[kind] else ((), ())
        return sum(times) / sum(counts) if sum(counts) else GUESSED[kind] * step

    def more(self) -> str:
        """Return the last loss and the sparkline, where the terminal can show one."""
        if not self.losses:
            return ""
        line = f", loss {self.losses[-1]:.3f}"
        shown = sys.stderr.isatty() and _can_show(BARS)
        return f"{line} {sparkline(self.losses)}" if shown else line


def sparkline(values: Iterable[float]) -> str:
    """Return a line of bars, each the mean of LOSSES neighbours, the last ones at the right end.

    >>> sparkline([3.0] * 20 + [2.0] * 20 + [1.0] * 20)
    '█▅▁'
    """
    known = list(values)
    bounds = [0, *range(len(known) % LOSSES or LOSSES, len(known), LOSSES), len(known)]
    means = [fmean(known[a:b]) for a, b in pairwise(bounds)]
    low, high = min(means), max(means)
    return "".join(BARS[round((m - low) / (high - low or 1) * (len(BARS) - 1))] for m in means)


def _can_show(text: str) -> bool:
    try:
        text.encode(getattr(sys.stderr, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


class _Bar(tqdm):  # type: ignore[misc]
    """A bar whose {left} and {more} are asked for when it is drawn."""

    progress: Progress | None = None

    @property
    def format_dict(self) -> dict[str, Any]:
        """What a bar's format can name."""
        left = self.progress.left() if self.progress else None
        return {**super().format_dict, "more": self.progress.more() if self.progress else "",
                "left": "?" if left is None else tqdm.format_interval(left)}


def progress_bar(total: int, label: str, unit: str, left: str = "remaining", **options: Any
                 ) -> _Bar:
    """Return a progress bar on standard error: now and then a line where that is no terminal.

    `left` is the name under which tqdm knows the time that is left; "" leaves it out.
    """
    terminal = sys.stderr.isatty()
    if not terminal:
        options |= {"file": Lines(), "mininterval": 10, "bar_format": (
            f"{{desc}}: {{unit}} {{n_fmt}} of {{total_fmt}}, {{rate_fmt}}, "
            f"{{{left or 'remaining'}}} left{{more}}")}
    elif left != "remaining":
        time = f"{{elapsed}}, {{{left}}} left, " if left else ""
        options["bar_format"] = (f"{{desc}}: {{percentage:3.0f}}%|{{bar}}| {{n_fmt}}/{{total_fmt}} "
                                 f"[{time}{{rate_fmt}}{{more}}]")
    return _Bar(total=total, desc=label, unit=unit, dynamic_ncols=terminal, **options)
