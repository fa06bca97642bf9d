"""`tinygrad-llm eval`: the validation loss of a run's model."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..host.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = ("Measure the loss of a run's model on the part of its text that it was "
                          "not trained on.\nIt is the one that 'train' measures at its end, on the "
                          "same batches.")
    parser.epilog = "example: tinygrad-llm eval runs/tiny --checkpoint best"
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", default=Path("runs/tiny"),
                        help="the run's folder (runs/tiny)")
    parser.add_argument("--checkpoint", metavar="WHICH", default="last",
                        help="last, best (by validation loss) or a step that was kept (last)")
    parser.add_argument("--batches", type=int, metavar="N",
                        help="batches to average over (the run's final_eval_batches)")
    parser.set_defaults(verb=evaluate)


def evaluate(args: argparse.Namespace) -> int:
    """Measure and print the loss."""
    from ..host.threads import workers
    from ..train.evaluation import perplexity, validation_loss
    from ..train.run import open_run

    if args.batches is not None and args.batches < 1:
        raise UserError(f"--batches must be at least 1, got {args.batches}")
    run = open_run(args.run, args.checkpoint)
    if run.data.validation is None:
        raise UserError(f"the data of the run in {args.run} has no part that was kept back")
    count = args.batches or run.config.run.final_eval_batches or run.config.run.eval_batches
    with workers():
        loss = validation_loss(run, count)
    print(f"step {run.step}: validation loss {loss:.4f} nats a token over {count} batches of "
          f"{run.config.data.batch} x {run.config.context} tokens (perplexity "
          f"{perplexity(loss):.2f})")
    return 0
