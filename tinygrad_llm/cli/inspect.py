"""`tinygrad-llm inspect`: a page that shows what a run's model does with a text."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..host.errors import UserError
from .sample import add_prompt, given_prompt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = ("Look inside a run's model while it reads a text: a page, for any "
                          "browser, with its\nattention by layer and head, what it would have "
                          "predicted behind each layer, the\nprobability of each token, and norms "
                          "of activations and gradients.")
    parser.epilog = "example: tinygrad-llm inspect runs/tiny --prompt 'ROMEO: But soft, what light'"
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", default=Path("runs/tiny"),
                        help="the run's folder (runs/tiny)")
    parser.add_argument("--checkpoint", metavar="WHICH", default="last",
                        help="last, best (by validation loss), a step, or ema, averages (last)")
    add_prompt(parser.add_argument, "the text; it must fit into the model's context")
    parser.add_argument("--out", type=Path, metavar="PAGE", default=Path("inspect.html"),
                        help="the page (inspect.html)")
    parser.set_defaults(verb=inspect)


def inspect(args: argparse.Namespace) -> int:
    """Write the page."""
    from functools import partial

    from ..host.threads import workers
    from ..inspect import most_tokens, observe, write
    from ..sample.prompt import prompt_ids
    from ..text.show import spelling
    from ..train.run import load_model

    given = given_prompt(args)
    if given is None:
        raise UserError("give the text to look at, with --prompt or --prompt-file")
    if args.out.is_dir():
        raise UserError(f"--out {args.out} is a folder; name a file in it, such as "
                        f"{args.out / 'inspect.html'}")
    model, tokenizer, config = load_model(args.run, args.checkpoint)
    ids, context = prompt_ids(tokenizer, given), model.config.context
    if len(ids) > context:
        raise UserError(f"the prompt has {len(ids)} tokens, and the model's context holds "
                        f"{context}; give a shorter one")
    most = most_tokens(model.config.layers, model.config.heads)
    if len(ids) > most:
        raise UserError(f"the prompt has {len(ids)} tokens, and a page shows the attention of "
                        f"{model.config.layers} layers and {model.config.heads} heads among at "
                        f"most {most}; give a shorter one")
    with workers():
        look = observe(model, ids)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write(args.out, look, partial(spelling, tokenizer), args.run.resolve().name,
          _facts(config.arch, model, args.checkpoint))
    print(f"wrote {args.out} ({args.out.stat().st_size / 1e6:.2f} MB); open it in a browser")
    return 0


def _facts(arch: str, model: Any, checkpoint: str) -> str:
    from ..nn import parameters

    config, count = model.config, sum(p.size for p in parameters(model).values())
    return (f"{arch}: {config.layers} layers, {config.heads} heads, width {config.width}, "
            f"{count:,} parameters; checkpoint {checkpoint}")
