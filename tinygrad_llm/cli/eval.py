"""`tinygrad-llm eval`: the validation loss of a run's model."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..host.errors import UserError
from .sampling import add_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = ("Measure the loss of a run's model on the part of its text that it was "
                          "not trained on.\nIt is the one that 'train' measures at its end, on the "
                          "same batches.\nWith --data, measure it on a text of yours, from its "
                          "first token to its last.")
    parser.epilog = ("examples:\n  tinygrad-llm eval runs/tiny --checkpoint best\n"
                     "  tinygrad-llm eval runs/smollm2 --data my_text.txt --context 512")
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", default=Path("runs/tiny"),
                        help="the run's folder (runs/tiny)")
    parser.add_argument("--checkpoint", metavar="WHICH", default="last",
                        help="last, best (by validation loss), a step, or ema, averages (last)")
    add_weights(parser)
    parser.add_argument("--batches", type=int, metavar="N",
                        help="batches to average over (the run's final_eval_batches)")
    parser.add_argument("--data", metavar="TEXT",
                        help="a text file, a folder of them, or 'shakespeare', to measure it on")
    parser.add_argument("--context", type=int, metavar="N",
                        help="with --data, tokens of a window that are predicted in one go, each "
                             "from those before it there (the model's context)")
    parser.set_defaults(verb=evaluate)


def evaluate(args: argparse.Namespace) -> int:
    """Measure and print the loss."""
    from ..host.threads import workers
    from ..train.evaluation import perplexity, validation_loss
    from ..train.run import open_run

    if args.batches is not None and args.batches < 1:
        raise UserError(f"--batches must be at least 1, got {args.batches}")
    if args.data is not None:
        return _evaluate_text(args)
    if args.context is not None:
        raise UserError("--context is for a text of yours: give it with --data")
    run = open_run(args.run, args.checkpoint, args.weights)
    if run.data.validation is None:
        raise UserError(f"the data of the run in {args.run} has no part that was kept back")
    count = args.batches or run.config.run.final_eval_batches or run.config.run.eval_batches
    with workers():
        loss = validation_loss(run, count)
    print(f"step {run.step}: validation loss {loss:.4f} nats a token over {count} batches of "
          f"{run.config.data.batch} x {run.config.context} tokens (perplexity "
          f"{perplexity(loss):.2f})")
    return 0


def _evaluate_text(args: argparse.Namespace) -> int:
    """Measure and print the loss on a text."""
    from ..data import read_corpus
    from ..host.threads import workers
    from ..train.evaluation import loss_of_text, perplexity
    from ..train.run import load_model

    if args.batches is not None:
        raise UserError("--batches is for the run's own text; --data is measured whole")
    model, tokenizer, config = load_model(args.run, args.checkpoint, args.weights)
    context = config.context if args.context is None else args.context
    if not 1 <= context <= config.context:
        raise UserError(f"--context must lie in [1, {config.context}], the context of the model, "
                        f"got {context}")
    ids = tokenizer.encode_to_array(read_corpus(args.data))
    if len(ids) < 2:
        raise UserError(f"the text in {args.data} has {len(ids)} tokens; two are needed, one to "
                        f"predict from")
    with workers():
        loss = loss_of_text(model, ids, context)
    print(f"loss {loss:.4f} nats a token over the {len(ids) - 1:,} tokens of {args.data} that have "
          f"one before them, in windows of {context} (perplexity {perplexity(loss):.2f})")
    return 0
