"""The loop of a run: steps, and between them what is due: a save, a validation loss, a sample.

Whatever may fail or be interrupted comes after the save of the same step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf, isfinite
from signal import Signals
from time import perf_counter
from typing import Any

from tqdm import tqdm

from autograd import fold_in

from ..data.tokens.shards import ShardedTokens
from ..host.errors import UserError
from ..host.machine import memory_of_process, resident_memory
from ..host.output import steady_output
from ..host.stop_signals import Stop, stop_signals
from ..host.threads import workers
from .evaluation import perplexity, sample_text, validation_losses
from .faults.policy import Policy, Spike
from .faults.reader import PatientReader, Stopped
from .folder.checkpoint import Saving, best, note_validation, read_state
from .log import Callback, Look, MetricsLog, Progress, plot_loss, read_metrics
from .objective import Diverged, Skipped
from .run import DROPOUT, TRAIN_BATCHES, Run, learning_rate, lock
from .slices import mean_loss
from .step import train_step

Say = Callable[[str], None]


def train(run: Run, say: Say = tqdm.write, threads: int | None = None,
          callbacks: Sequence[Callback] = ()) -> bool:
    """Do what is left; return False where a signal (Ctrl-C, a kill) ended the run before the last.

    The run is then saved, as it is after any error but a loss that is not finite; output that
    is closed does not end it. `threads`, by default all cores, change the time that it takes and
    not a bit of the result; `callbacks` are given each record of metrics.jsonl. Raises UserError
    where the loss stops being finite (before that update), where a file cannot be written, where
    memory runs out, and where another process is at work on the run or has been since it was
    opened; the last checkpoint stays whole.
    """
    with steady_output(), lock(run.folder), stop_signals(
            "stopping after this step, then saving (nothing is lost by waiting)",
            "still saving; to end at once, without it, use kill -9 or Ctrl-\\") as stop:
        _check_newest(run)
        for note in run.notes:
            say(note)
        if run.data.validation is None:
            say("the text is too short to keep a part of it back: no validation loss"
                if not isinstance(run.data.train, ShardedTokens) else
                f"{run.data.folder} was built without a validation part as long as one window of "
                f"{run.config.context + 1} tokens: no validation loss")
        tokens = run.config.data.batch * run.config.context
        log = MetricsLog(run.folder / "metrics.jsonl", run.step, run.batch, tokens, callbacks, say)
        progress = Progress(run.config.run, run.step, tokens, run.data.validation is not None)
        with _ending(run, log, stop), progress.bar, workers(threads):
            _do_all(run, log, say, progress, stop)
        run.most = memory_of_process().most
        _plot(run, say)
        run.stopped_by = stop.signal
        return not left_to_do(run)


@contextmanager
def _ending(run: Run, log: MetricsLog, stop: Stop) -> Iterator[None]:
    """Write behind the block why the run has ended, and close the file."""
    try:
        yield
        log.write(run.step, end=Signals(stop.signal).name if left_to_do(run) else "done")
    except Exception as error:
        with suppress(UserError):
            log.write(run.step, end=str(error))
        raise
    finally:
        run.background.join()
        log.close()


def left_to_do(run: Run) -> bool:
    """Whether the run has steps before it, or its final evaluation."""
    settings = run.config.run
    return run.step < settings.steps or (settings.final_eval_batches > 0
                                         and _unmeasured(run, settings.final_eval_batches))


def _check_newest(run: Run) -> None:
    """Raise UserError where the folder's checkpoints are not those that the run was opened with."""
    folder = run.folder / "checkpoint"
    newest = read_state(folder)["step"] if (folder / "state.json").exists() else None
    if newest != run.newest:
        raise UserError(f"the run in {run.folder} has changed since it was opened: its newest "
                        f"checkpoint is now of step {newest}, and was of {run.newest}; go on with "
                        f"it with --resume")


def _do_all(run: Run, log: MetricsLog, say: Say, progress: Progress, stop: Stop) -> None:
    """Train until the last step or the first signal; save; evaluate."""
    settings = run.config.run
    try:
        _repeat_evaluation(run, log, say, stop)
        _do_steps(run, log, say, progress, stop)
    except Diverged:
        raise
    except Exception:
        _save_what_is_whole(run, say)
        raise
    _save(run)
    run.background.wait()
    if run.step >= settings.steps and settings.final_eval_batches:
        _evaluate(run, settings.final_eval_batches, log, say, stop)


def _do_steps(run: Run, log: MetricsLog, say: Say, progress: Progress, stop: Stop) -> None:
    """Train until the last step, or until a signal comes."""
    settings, policy = run.config.run, Policy(run, log, say)
    batches = PatientReader(run.batches(run.data.train, TRAIN_BATCHES),
                            run.config.faults.reader_timeout, say, stop)
    if run.config.faults.rolls_back() and run.saved is None:
        _save(run)
    while run.step < settings.steps and not stop:
        lr = learning_rate(run.config, run.step)
        try:
            loss, norm = _looked_at(run, batches, lr, policy, log, progress)
        except Stopped:
            return
        except (Skipped, Spike, Diverged) as trouble:
            policy.answer(trouble)
            progress.go_back(run.step)
            continue
        progress.step(run.step, loss)
        if run.step % settings.log_every == 0 or run.step in (1, settings.steps):
            log.write(step=run.step, loss=loss, lr=lr, grad_norm=norm,
                      tokens_per_s=progress.tokens_per_second(), memory=resident_memory())
        _save_evaluate_sample(run, log, say, progress, stop)


def _looked_at(run: Run, batches: Any, lr: float, policy: Policy, log: MetricsLog,
               progress: Progress) -> tuple[float, float]:
    """Do the next step, and look at it where that is due."""
    every = run.config.run.look_every
    if every == 0 or (run.step + 1) % every:
        return _step(run, batches, lr, policy)
    batch = batches.at(run.batch)
    with progress.doing("look", 0):
        look = Look(run.optimizer)
    loss, norm = _step(run, batches, lr, policy)
    with progress.doing("look"):
        log.write(run.step, **look.after(run.model, run.objective, batch, norm))
    return loss, norm


def _step(run: Run, batches: Any, lr: float, policy: Policy) -> tuple[float, float]:
    """Do the next step; return its loss and the gradient's norm."""
    config, began = run.config, perf_counter()

    def before_update(loss: float, norm: float) -> None:
        policy.judge(loss, norm)
        run.background.settle()

    key = fold_in(run.key(DROPOUT), run.batch) if config.model.get("dropout") else None
    try:
        with run.precision.quiet():
            result = train_step(
                run.precision.rounded(), run.precision.optimizer, run.objective,
                batches.at(run.batch), lr=lr, clip=config.optimizer.clip, key=key,
                slices=config.run.slices, accumulate=config.memory.accumulate,
                scale=run.precision.scale, before_update=before_update)
        if run.ema:
            run.ema.update()
    except MemoryError as error:
        raise UserError(
            f"step {run.step + 1}: memory ran out ({error}); try a smaller --batch or --context"
        ) from error
    run.trouble.note(run.step, result[0])
    run.step += 1
    run.seconds.append(perf_counter() - began)
    return result


def _save_evaluate_sample(run: Run, log: MetricsLog, say: Say, progress: Progress, stop: Stop
                          ) -> None:
    """Do what is due after this step, unless it is the last, after which all is done anyway."""
    settings = run.config.run
    if _due(run, settings.checkpoint_every):
        with progress.doing("save"):
            _save(run)
    if _due(run, settings.eval_every):
        with progress.doing("validation", settings.eval_batches):
            _evaluate(run, settings.eval_batches, log, say, stop)
    if _due(run, settings.sample_every):
        with progress.doing("sample", settings.sample_tokens):
            _sample(run, log, say, stop)


def _sample(run: Run, log: MetricsLog, say: Say, stop: Stop) -> None:
    """Let the model write, unless a signal has come: the resumed run begins with it then."""
    if not stop:
        with suppress(Stopped):
            text = sample_text(run, stop)
            log.write(run.step, sample=text)
            say(f"--- a sample after {run.step} steps ---\n{text}\n---")


def _due(run: Run, every: int) -> bool:
    return every > 0 and run.step % every == 0 and run.step < run.config.run.steps


def _evaluate(run: Run, count: int, log: MetricsLog, say: Say, stop: Stop) -> None:
    """Measure a validation loss, unless a signal has come: the resumed run begins with it then."""
    if run.data.validation is None or stop:
        return
    try:
        losses, of_ema = validation_losses(run, count, stop), _of_average(run, count, stop)
    except Stopped:
        return
    loss = mean_loss(losses)
    log.write(step=run.step, val_loss=loss, **of_ema, batches=count)
    say(f"step {run.step}: validation loss {loss:.4f} over {count} batches (perplexity "
        f"{perplexity(loss):.2f})"
        + "".join(f", with averaged weights {value:.4f}" for value in of_ema.values()))
    _note(run, losses[:run.config.run.eval_batches])


def _of_average(run: Run, count: int, stop: Stop) -> dict[str, float]:
    """Return the validation loss of the averaged weights, of a run that has them, by its name."""
    if run.ema is None:
        return {}
    with run.ema.in_place():
        return {"val_loss_ema": mean_loss(validation_losses(run, count, stop))}


def _note(run: Run, losses: list[list[float]]) -> None:
    """Note the validation loss of a checkpoint; the best so far is saved for that."""
    loss, measured = mean_loss(losses), f"{len(losses)} x {run.config.data.batch}"
    run.background.wait()
    kept = read_state(run.folder / "checkpoint")["checkpoints"] if run.saved is not None else []
    former = best([one for one in kept if one.step < run.step], measured)
    least = inf if former is None or former.val_loss is None else former.val_loss
    if loss < least and run.config.run.checkpoint_every:
        _save(run)
    if isfinite(loss) and run.saved == run.step:
        run.background.wait()
        note_validation(run.folder / "checkpoint", run.model, run.step, loss, measured,
                        run.config.run.keep, _every(run))


def _repeat_evaluation(run: Run, log: MetricsLog, say: Say, stop: Stop) -> None:
    """Do the evaluation and the sample that were due when the run was stopped, if they are not."""
    settings = run.config.run
    if run.step and _due(run, settings.eval_every) and _unmeasured(run, settings.eval_batches):
        _evaluate(run, settings.eval_batches, log, say, stop)
    if run.step and _due(run, settings.sample_every) and not any(
            r["step"] == run.step and "sample" in r for r in
            read_metrics(run.folder / "metrics.jsonl")):
        _sample(run, log, say, stop)


def _unmeasured(run: Run, count: int) -> bool:
    """Whether there is a validation part, and no loss on `count` batches of it after this step."""
    measured = [(r["step"], r.get("batches")) for r in
                read_metrics(run.folder / "metrics.jsonl") if "val_loss" in r]
    return run.data.validation is not None and (run.step, count) not in measured


def _save(run: Run) -> None:
    """Save the run, unless it is saved as it is; in the background, it has only begun then."""
    if run.saved != run.step:
        run.background.wait()
        run.background.begin(Saving(run.folder / "checkpoint", run.model, run, run.step,
                                    run.config.run.keep, _every(run)))
        run.saved = run.newest = run.step
        if not run.config.saves_in_background:
            run.background.wait()
            run.optimizer.rest()


def _every(run: Run) -> int | None:
    """Return how often there is a checkpoint to roll back to, where the run may do that."""
    return run.config.run.checkpoint_every if run.config.faults.rolls_back() else None


def _save_what_is_whole(run: Run, say: Say) -> None:
    """After an error, save the steps before it: an update that has begun counts its step."""
    if not run.step or max((int(t) for t in run.optimizer.steps.values()), default=0) > run.step:
        return
    run.background.join()
    if run.background.failed:
        run.saved = None
    try:
        _save(run)
        run.background.wait()
    except UserError as error:
        say(str(error))
    else:
        say(f"saved after step {run.step}")


def _plot(run: Run, say: Say) -> None:
    try:
        drawn = plot_loss(read_metrics(run.folder / "metrics.jsonl"), run.folder / "loss.png")
    except OSError as error:
        say(f"no loss.png: {error.strerror}")
    else:
        if not drawn:
            say('no loss.png: for the picture, pip install "tinygrad_llm[plot]"')
