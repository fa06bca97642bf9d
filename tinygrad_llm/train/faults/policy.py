r"""What a run does about a loss or gradient that is not finite, and about a spike.

The loss $\ell$ of a step is a spike where it exceeds f times the median of the w losses before it:

$$\ell_s > f \cdot \operatorname{median}(\ell_{s-w}, \dots, \ell_{s-1}) .$$

It is known before the update, so that the batch can still be left out. A run may `stop` (or, at a
spike, only `report`), `skip` the batch, or `rollback`: go back to the last checkpoint that was due
and leave out all batches from there to the failed one. To leave out that one alone would be no use:
all else is a function of the seed and would lead to the same weights once more, which is `skip`.

What was decided is saved with the next checkpoint. A process that is killed before that meets the
same trouble in the same batch, and answers it in the same way: its weights are the same.

Source: Chowdhery et al., "PaLM", arXiv:2204.02311, section 5.1, for going back and leaving out the
batches before and during a spike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

from ...data.tokens.shards import ShardedTokens
from ..folder.checkpoint import due, load_checkpoint, read_state
from ..log import MetricsLog
from ..objective import Diverged, Skipped
from ..run import TRAIN_BATCHES, Run

SHOWN = 60  # characters of a sequence in a report


class Spike(Exception):
    """The loss of a step is far above those before it; the weights were not touched."""


@dataclass
class Policy:
    """Answers the trouble of a run, as its settings say."""

    run: Run
    log: MetricsLog
    say: Callable[[str], None]

    def judge(self, loss: float, norm: float) -> None:
        """Report a spike; raise it where its batch is to be left out."""
        settings = self.run.config.faults
        median = self.run.trouble.median(self.run.step, settings.spike_window)
        if not (settings.spike_factor and 0 < settings.spike_factor * median < loss):
            return
        spike = Spike(f"the loss {loss:.4g} is {loss / median:.3g} times the median of the last "
                      f"{settings.spike_window} steps")
        if settings.on_spike != "report":
            raise spike
        self.say(f"step {self.run.step + 1}: {spike}; metrics.jsonl names the batch's documents")
        self._record(spike, "report")

    def answer(self, trouble: Skipped | Spike | Diverged) -> None:
        """Go on after a step that did not update the weights. Raises Diverged to stop."""
        run, settings = self.run, self.run.config.faults
        if isinstance(trouble, Skipped):
            self.log.write(step=run.step, batch=run.batch, skipped=str(trouble))
            run.trouble.left_out += 1
            return
        action = settings.on_spike if isinstance(trouble, Spike) else settings.on_nonfinite
        run.background.wait()  # for what is said to be saved
        if action == "stop" or run.trouble.handled >= settings.most_faults:
            self._record(trouble, "stop")
            raise self._stopped(trouble, action) from trouble
        run.trouble.handled += 1
        if action == "rollback":
            self._roll_back(trouble)
        else:
            self.say(f"step {run.step + 1}: {trouble}; batch {run.batch} is left out")
            self._record(trouble, action)
            run.trouble.left_out += 1

    def _stopped(self, trouble: Spike | Diverged, action: str) -> Diverged:
        run, rates = self.run, self.run.config.optimizer
        return Diverged(
            f"step {run.step + 1}: {trouble}; stopped before the update"
            + (f", as --most-faults {int(run.trouble.handled)} allows no more" if action != "stop"
               else "") + f". Try a smaller --learning-rate (it was {rates.learning_rate:.3g} at "
            f"its peak) or a longer --warmup; "
            + ("nothing was saved before it" if run.saved is None else
               f"the checkpoint of step {run.saved} is in {run.folder / 'checkpoint'}"))

    def _roll_back(self, trouble: Spike | Diverged) -> None:
        """Go back to the last checkpoint that was due, and leave out all batches since."""
        run, failed, handled = self.run, self.run.batch, int(self.run.trouble.handled)
        documents, former = self._documents(failed), run.step
        folder = run.folder / "checkpoint"
        kept = [one for one in read_state(folder)["checkpoints"] if one.step <= run.step]
        to = due(kept, run.config.run.checkpoint_every) or kept[0]
        run.step = run.saved = load_checkpoint(folder, run.model, run, str(to.step))
        self.say(f"step {former + 1}: {trouble}; back to the checkpoint of step {run.step}, "
                 f"batches {run.batch} to {failed} are left out")
        self.log.go_back(run.step, inf)  # of the batches that are left out, faults stay
        self.log.write(step=run.step, batch=failed, fault=str(trouble), action="rollback",
                       from_step=former, documents=documents)
        run.trouble.left_out[...] = failed + 1 - run.step
        run.trouble.handled[...] = handled

    def _record(self, trouble: Spike | Diverged, action: str) -> None:
        self.log.write(step=self.run.step, batch=self.run.batch, fault=str(trouble),
                       action=action, documents=self._documents(self.run.batch))

    def _documents(self, batch: int) -> list[dict[str, Any]]:
        """Return where each sequence of a batch begins, and the first characters there."""
        tokens, decode = self.run.data.train, self.run.data.tokenizer.decode
        starts = self.run.batches(tokens, TRAIN_BATCHES).starts(batch).tolist()
        found = [{"text": decode(tokens[start:start + SHOWN].tolist())[:SHOWN], "token": start}
                 for start in starts]
        if isinstance(tokens, ShardedTokens):
            for one, start in zip(found, starts, strict=True):
                one["document"] = int(tokens.document_of(start))
                one["offset"] = start - tokens.start_of(one["document"])
        return found
