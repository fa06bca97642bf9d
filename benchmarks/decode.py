r"""The tokens that a model writes in a second, beside Hugging Face transformers.

    python -m benchmarks.decode --config tiny

One sequence, greedily, with keys and values kept; both sides have the same weights. A turn writes
`tokens` tokens after a prompt, the prompt's forward pass included. The sides take turns, after a
rest (see `benchmarks.train_cpu`) and an uncounted short turn that wakes their threads; they must
agree on the text, and on the logits after the prompt. Ours runs `tinygrad_llm.sample.generate`,
theirs `GPT2LMHeadModel.generate` in PyTorch's inference mode.

Weights are drawn five times as large as a fresh model's, so that the likeliest token stands out:
between tokens that are alike up to the last digits either side's choice would be right.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits
from tqdm import tqdm

from benchmarks.configs import Sizes
from benchmarks.records import publish
from benchmarks.train_cpu import REST, cpu_model, positive, ratio_quartiles
from tinygrad_llm.host.machine import usable_cores

PROMPT = 8  # tokens
WAKE = 4  # tokens written before the clock starts

Write = Callable[[int], list[int]]
"""Write that many tokens after the prompt."""


@dataclass(frozen=True)
class Config:
    """A model, the tokens that a turn writes, and the turns of each side."""

    sizes: Sizes
    tokens: int
    turns: int

    def prompt(self) -> list[int]:
        """Return the ids to start from."""
        ids = np.random.default_rng(0).integers(self.sizes.vocab_size, size=PROMPT)
        return [int(i) for i in ids]


CONFIGS = {
    "tiny": Config(Sizes(65, 256, 4, 4, 128), tokens=200, turns=15),
    "gpt2": Config(Sizes(50257, 1024, 12, 12, 768), tokens=64, turns=5),
}


def our_side(config: Config) -> tuple[Write, np.ndarray, Any]:
    """Return our writer, the logits (V,) after the prompt, and the model."""
    from autograd import no_grad
    from tinygrad_llm.models import GPT, GPTConfig
    from tinygrad_llm.nn import parameters
    from tinygrad_llm.sample import Sampling, generate

    model = GPT(GPTConfig(**asdict(config.sizes)))
    for name, p in parameters(model).items():
        if ".ln_" not in name and not name.startswith("ln_f"):
            p.data *= 5
    prompt, greedy, rng = config.prompt(), Sampling(temperature=0), np.random.default_rng(0)
    with no_grad():
        logits = model.next_logits(np.array([prompt])).data[0]
    return lambda count: list(generate(model, prompt, count, greedy, rng)), logits, model


def their_side(config: Config, model: Any, threads: int) -> tuple[Write, np.ndarray]:
    """Return the rival's writer, and its logits (V,) after the prompt."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.set_num_threads(threads)
    sizes = config.sizes
    rival = GPT2LMHeadModel(GPT2Config(
        vocab_size=sizes.vocab_size, n_positions=sizes.context, n_layer=sizes.layers,
        n_head=sizes.heads, n_embd=sizes.width, bos_token_id=None, eos_token_id=None)).eval()
    copy_weights(model, rival)
    prompt = torch.tensor([config.prompt()])

    def write(count: int) -> list[int]:
        with torch.inference_mode():
            ids = rival.generate(prompt, attention_mask=torch.ones_like(prompt), do_sample=False,
                                 max_new_tokens=count, use_cache=True, pad_token_id=0)
        return [int(i) for i in ids[0, PROMPT:]]

    with torch.inference_mode():
        return write, rival(prompt).logits[0, -1].numpy()


THEIR_NAMES = {"attn.qkv": "attn.c_attn", "attn.out": "attn.c_proj", "mlp.up": "mlp.c_fc",
               "mlp.down": "mlp.c_proj"}


def copy_weights(model: Any, rival: Any) -> None:
    """Write the weights of a `tinygrad_llm.models.GPT` into a `GPT2LMHeadModel` of its sizes."""
    import torch

    from tinygrad_llm.nn import parameters

    theirs = dict(rival.transformer.named_parameters())
    with torch.no_grad():
        for name, p in parameters(model).items():
            data = p.data
            for our_name, their_name in THEIR_NAMES.items():
                if f".{our_name}." in name:
                    name = name.replace(our_name, their_name)
                    data = data.T  # theirs hold a column for each output
            theirs.pop(name).copy_(torch.from_numpy(data))
    if theirs:
        raise ValueError(f"copy_weights: nothing was written into {', '.join(theirs)}")


def timed(write: Write, tokens: int) -> float:
    """Return the tokens a second of one turn, after a rest and a short turn that is not counted."""
    time.sleep(REST)
    write(WAKE)
    start = time.perf_counter()
    write(tokens)
    return tokens / (time.perf_counter() - start)


def measure(name: str, rival: str | None, *, tokens: int, turns: int,
            threads: int) -> dict[str, Any]:
    """Return the record of one configuration.

    Raises RuntimeError where the sides' logits differ by more than 1e-4 of the largest, or their
    texts differ.
    """
    config = CONFIGS[name]
    ours, logits, model = our_side(config)
    sides = {"ours": ours}
    if rival:
        sides[rival], their_logits = their_side(config, model, threads)
        check_agreement(logits, their_logits, {side: w(tokens) for side, w in sides.items()})
    speeds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in tqdm(range(turns), unit="round", disable=None, desc="timing"):
        for side, write in sides.items():
            speeds[side].append(timed(write, tokens))
    our_speed = median(speeds["ours"])
    rival_speed = median(speeds[rival]) if rival else None
    return {
        "config": name, "rival": rival, "ours_tokens_per_s": round(our_speed, 1),
        "rival_tokens_per_s": rival_speed and round(rival_speed, 1),
        "ratio": rival_speed and round(our_speed / rival_speed, 3),
        "ratio_quartiles": rival and ratio_quartiles(speeds["ours"], speeds[rival]),
        "tokens": tokens, "turns": turns, "threads": threads,
        **{package: rival and importlib.metadata.version(package)
           for package in ("transformers", "torch")},
        **machine(),
    }


def machine() -> dict[str, Any]:
    """Return what our numbers depend on besides the code."""
    blas = [f"{info['internal_api']} {info['version']}" for info in threadpool_info()
            if info["user_api"] == "blas" and "numpy" in info["filepath"]]
    return {"cpu": cpu_model(), "cores": usable_cores(), "python": platform.python_version(),
            "numpy": np.__version__, "blas": "; ".join(blas) or "not recognised",
            "date": datetime.datetime.now(datetime.UTC).date().isoformat()}


def check_agreement(ours: np.ndarray, theirs: np.ndarray, texts: dict[str, list[int]]) -> None:
    """Raise RuntimeError where the sides do not compute the same."""
    difference = float(np.abs(ours - theirs).max() / np.abs(ours).max())
    if difference > 1e-4:
        raise RuntimeError(f"the sides' logits differ by {difference:.1e} of the largest")
    first, *others = texts.values()
    if any(text != first for text in others):
        raise RuntimeError(f"the sides do not write the same: {texts}")


def arguments() -> argparse.Namespace:
    """Return the command line's arguments, with the defaults filled in."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decode",
                                     description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, default="tiny")
    parser.add_argument("--vs", choices=["transformers", "none"],
                        help="the rival; default: transformers where it is installed")
    parser.add_argument("--tokens", type=positive, help="tokens of a turn")
    parser.add_argument("--turns", type=positive, help="turns of each side")
    parser.add_argument("--threads", type=positive, default=usable_cores(),
                        help="threads of each side; default: the usable cores, %(default)s")
    parser.add_argument("--out", type=Path, help="a file to append the line to")
    args = parser.parse_args()
    installed = all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
    if args.vs == "transformers" and not installed:
        parser.error("--vs transformers: it is not installed; pip install torch transformers, or "
                     "use --vs none")
    if args.vs is None:
        args.vs = "transformers" if installed else "none"
        if not installed:
            print("transformers is not installed: measuring ours alone", file=sys.stderr)
    limit = CONFIGS[args.config].sizes.context - PROMPT
    if args.tokens and args.tokens > limit:
        parser.error(f"--tokens must be at most {limit}: with the prompt they fill the context")
    return args


def main() -> None:
    """Measure one configuration and print its line."""
    args = arguments()
    config = CONFIGS[args.config]
    with threadpool_limits(args.threads, user_api="blas"):
        record = measure(args.config, None if args.vs == "none" else args.vs,
                         tokens=args.tokens or config.tokens, turns=args.turns or config.turns,
                         threads=args.threads)
    publish(record, args.out)


if __name__ == "__main__":
    main()
