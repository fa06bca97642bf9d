"""`tinygrad-llm plan`: what a run will take, in memory and time, before it is started."""

from __future__ import annotations

import argparse
import json

from .train import add_max_memory, add_settings, given_settings, threads_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments: its own, and one for each setting of a run."""
    parser.description = ("Predict parameters, memory, arithmetic and time of a run with the "
                          "settings of 'train',\nfrom five seconds of it on this machine. Nothing "
                          "is written.")
    parser.epilog = ("examples:\n  tinygrad-llm plan --preset baby\n"
                     "  tinygrad-llm plan --preset gpt2 --batch 4 --data shards --threads 8")
    add_max_memory(parser)
    parser.add_argument("--json", action="store_true", help="as JSON, with every op")
    add_settings(parser)
    parser.set_defaults(verb=plan)


def plan(args: argparse.Namespace) -> int:
    """Print the plan."""
    from ..plan import SECONDS, Trial, as_json, bytes_of, choose, predict, report, sentence
    from ..train.config import make_config
    from ..train.run import rehearse

    threads = threads_of(args.threads)
    given = given_settings(args)
    limit = None if args.max_memory is None else bytes_of(args.max_memory)
    config, vocab_size, before = rehearse(make_config(given))
    if limit is None:
        found = predict(config, vocab_size, before=before, threads=threads, seconds=SECONDS)
        print(json.dumps(as_json(found), indent=2) if args.json else report(found))
        return 0
    found, plain = choose(Trial(config, vocab_size, before, threads), limit, given, 2 * SECONDS)
    print(json.dumps(as_json(found) | {"chosen": sentence(found, plain, limit)}, indent=2)
          if args.json else f"{sentence(found, plain, limit)}\n\n{report(found)}")
    return 0
