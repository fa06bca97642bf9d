r"""The tokens that a model writes in a second, beside Hugging Face transformers or llama.cpp.

    python -m benchmarks.generate --config tiny --batch 8
    python -m benchmarks.generate --folder SmolLM2-135M-Instruct --batch 8     # real weights
    python -m benchmarks.generate --config gpt2 --prefill 512     # reading a prompt
    python -m benchmarks.generate --folder SmolLM2-135M.Q4_1.gguf --vs llama.cpp
    python -m benchmarks.generate --config gpt2 --mixed           # 64 prompts, together or in turn
    python -m benchmarks.generate --config tiny --constrained     # by a JSON schema, and free
    python -m benchmarks.generate --config gpt2 --memory          # bytes of cache a token
    python -m benchmarks.generate --config gpt2 --weights         # matrices in 16 bits, and in 32

Texts are greedy, with keys and values kept; both sides have the same weights in float32. A turn
writes `tokens` tokens behind each of `batch` prompts of 8, reading the prompts included. The sides
take turns, after a rest (see `benchmarks.train_cpu`) and a short turn that is not counted, which
wakes their threads. They must agree on the logits after the prompts, and on the texts up to the
first token whose logit is within rounding of another's. Ours is a `Batcher`, theirs `generate` in
PyTorch's inference mode; a prompt is read by a `Batcher` up to its first token. Each has the number
of threads at which it was fastest in an uncounted turn. With `--constrained`, `--memory` and
`--weights` all sides are ours, and with `--mixed` two of three: the rival writes one text after
another. llama.cpp reads the weights as they lie in its file, of 4 bits for instance, and ours in
float32.

Weights are drawn five times as large as a fresh model's, so that the likeliest token stands out.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import os
import platform
import string
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits
from tqdm import tqdm

from autograd import no_grad
from benchmarks.configs import Sizes
from benchmarks.records import publish
from benchmarks.train_cpu import REST, cpu_model, positive, ratio_quartiles
from tinygrad_llm.host.machine import THREADS_VARIABLE, memory_of_process, usable_cores
from tinygrad_llm.host.threads import workers_unless_open
from tinygrad_llm.models import GPT, GPTConfig
from tinygrad_llm.nn import parameters, store_weights
from tinygrad_llm.pretrained import from_pretrained
from tinygrad_llm.sample import Batcher, Sampling
from tinygrad_llm.sample.constrained.schema import json_schema
from tinygrad_llm.text import CharTokenizer
from tinygrad_llm.train.precision import TYPES

PACKAGES = {"transformers": ("transformers", "torch"), "llama.cpp": ("llama_cpp_python",),
            "none": ()}
PROMPT, WAKE = 8, 4  # tokens of a prompt, and of a turn that wakes the threads
MIXED = 64, (4, 128), (4, 32)  # prompts, the range of their lengths, and of their texts'
LETTERS = "".join(sorted({*string.ascii_lowercase, *string.digits, *string.punctuation} - {*"`^$"}))
SCHEMA = {"type": "object", "required": ["name", "tags", "age"], "properties": {
    "name": {"type": "string"}, "tags": {"type": "array", "items": {"type": "string"}},
    "age": {"type": "integer"}}}

Turn = Callable[[int], Any]
"""Do as much for so many tokens a text; return the texts, or what there is to compare."""


@dataclass(frozen=True)
class Config:
    """A model, the tokens that a turn writes, and the turns of each side."""

    sizes: Sizes
    tokens: int
    turns: int


CONFIGS = {
    "tiny": Config(Sizes(65, 256, 4, 4, 128), tokens=200, turns=15),
    "gpt2": Config(Sizes(50257, 1024, 12, 12, 768), tokens=64, turns=5),
}
FOLDER = 64, 5  # tokens and turns of a model in a folder


def our_model(args: argparse.Namespace) -> tuple[Any, Any]:
    """Return the model, and its tokenizer."""
    if args.folder:
        found = from_pretrained(args.folder)
        return found.model, found.tokenizer
    model = GPT(GPTConfig(**asdict(CONFIGS[args.config].sizes)))
    for name, p in parameters(model).items():
        if ".ln_" not in name and not name.startswith("ln_f"):
            p.data *= 5
    return model, CharTokenizer(LETTERS)


def llama_cpp_writer(file: Path, prompt: np.ndarray, threads: int) -> Turn:
    """Return the turn of llama.cpp, for one prompt."""
    from llama_cpp import Llama

    rival = Llama(str(file), n_ctx=1024, n_threads=threads, verbose=False)

    def turn(count: int) -> list[list[int]]:
        rival.reset()
        written = rival.generate(prompt.tolist(), temp=0.0, reset=False)
        return [[*islice(written, count)]]

    return turn


def their_model(args: argparse.Namespace, model: Any) -> Any:
    """Return the rival with the model's weights."""
    import torch
    from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

    rival: Any
    if args.folder:
        rival = AutoModelForCausalLM.from_pretrained(args.folder, dtype=torch.float32)
    else:
        s = CONFIGS[args.config].sizes
        rival = GPT2LMHeadModel(GPT2Config(
            vocab_size=s.vocab_size, n_positions=s.context, n_layer=s.layers, n_head=s.heads,
            n_embd=s.width, bos_token_id=None, eos_token_id=None))
        copy_weights(model, rival)
    rival.generation_config.eos_token_id = None
    return rival.eval()


THEIR_NAMES = {"attn.qkv": "attn.c_attn", "attn.out": "attn.c_proj", "mlp.up": "mlp.c_fc",
               "mlp.down": "mlp.c_proj"}


def copy_weights(model: Any, rival: Any) -> None:
    """Write the weights of a `tinygrad_llm.models.GPT` into a `GPT2LMHeadModel` of its sizes."""
    import torch

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


def drawn(model: Any, count: int, length: int) -> np.ndarray:
    """Return prompts (count, length)."""
    return np.random.default_rng(0).integers(model.config.vocab_size, size=(count, length))


def our_writer(model: Any, prompts: Any, rows: int, **options: Any) -> Turn:
    """Return the turn of a batcher of so many rows, greedy; `options` are those of `Sampling`."""
    batcher = Batcher(model, rows=rows)

    def turn(count: int) -> list[list[int]]:
        sampling = Sampling(temperature=0, max_tokens=count, **options)
        return [handle.ids for handle in batcher.run(
            [batcher.add(prompt, sampling) for prompt in prompts])]

    return turn


def their_writer(rival: Any, prompts: np.ndarray) -> Turn:
    """Return the turn of `generate`."""
    import torch

    ids = torch.from_numpy(prompts)

    def turn(count: int) -> list[list[int]]:
        with torch.inference_mode():
            written = rival.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False,
                                     max_new_tokens=count, use_cache=True, pad_token_id=0)
        texts: list[list[int]] = written[:, ids.shape[1] :].tolist()
        return texts

    return turn


def our_reader(model: Any, prompt: np.ndarray) -> Turn:
    """Return the turn that gives the logits behind a prompt, by the model's own call."""
    def turn(_: int) -> np.ndarray:
        with workers_unless_open(), no_grad():
            logits: np.ndarray = model.next_logits(prompt, model.cache(*prompt.shape)).data
        return logits

    return turn


def their_reader(rival: Any, prompt: np.ndarray) -> Turn:
    """Return the turn that reads a prompt, with a cache, and gives the logits that follow."""
    import torch

    def turn(_: int) -> np.ndarray:
        with torch.inference_mode():
            last = rival(torch.from_numpy(prompt), use_cache=True, logits_to_keep=1).logits
        logits: np.ndarray = last[:, -1].numpy()
        return logits

    return turn


def mixed(model: Any) -> tuple[list[np.ndarray], np.ndarray]:
    """Return prompts of mixed lengths, and how many tokens are written behind each."""
    count, prompts, texts = MIXED
    rng = np.random.default_rng(0)
    lengths = rng.integers(prompts[0], prompts[1] + 1, size=count)
    tokens = rng.integers(texts[0], texts[1] + 1, size=count)
    return [rng.integers(model.config.vocab_size, size=n) for n in lengths], tokens


def in_turn(model: Any, ids: list[np.ndarray], tokens: np.ndarray, rows: int) -> Turn:
    """Return the turn that writes behind those prompts, so many at once."""
    batcher = Batcher(model, rows=rows)

    def turn(most: int) -> list[list[int]]:
        return [handle.ids for handle in batcher.run([
            batcher.add(prompt, Sampling(temperature=0, max_tokens=min(int(n), most)))
            for prompt, n in zip(ids, tokens, strict=True)])]

    return turn


def rival_in_turn(rival: Any, ids: list[np.ndarray], tokens: np.ndarray) -> Turn:
    """Return the turn in which the rival writes behind those prompts, one after another."""
    writers = [their_writer(rival, prompt[None]) for prompt in ids]

    def turn(most: int) -> list[list[int]]:
        return [writer(min(int(n), most))[0] for writer, n in zip(writers, tokens, strict=True)]

    return turn


def memory(model: Any, rows: int = 8) -> Iterator[dict[str, Any]]:
    """Yield the bytes of cache a token takes, predicted and measured, in float32 and in 8 bits."""
    attn, layers = model.h[0].attn, len(model.h)
    capacity = min(1024, model.config.context)
    for bits, bytes_of_head in ((None, 4 * attn.depth), (8, attn.depth + 4)):
        before = memory_of_process().now
        cache = model.cache(rows, capacity, bits=bits)
        for layer in cache.layers:
            for a in layer.arrays:
                a.fill(1)  # what is not written takes no memory yet
        measured = (memory_of_process().now - before) / (rows * capacity)
        yield {"bits": bits or 32, "predicted": 2 * layers * attn.key_heads * bytes_of_head,
               "measured": round(measured, 1)}
        del cache, layer, a


@contextmanager
def threads_of(side: str, threads: int) -> Iterator[None]:
    """Inside the block, NumPy's BLAS and our workers, or PyTorch, have so many threads."""
    if side == "transformers":
        import torch

        torch.set_num_threads(threads)
        yield
        return
    os.environ[THREADS_VARIABLE] = str(threads)
    with threadpool_limits(threads, user_api="blas"):
        yield


def seconds(side: str, turn: Turn, tokens: int, threads: int) -> float:
    """Return the time of one turn, after a rest and a short turn that is not counted."""
    with threads_of(side, threads):
        time.sleep(REST)
        turn(min(WAKE, tokens))
        start = time.perf_counter()
        turn(tokens)
        return time.perf_counter() - start


def best_threads(side: str, turn: Turn, tokens: int, most: int) -> int:
    """Return the number of threads, 1 or `most`, at which a turn is fastest."""
    times = {threads: seconds(side, turn, tokens, threads) for threads in {1, most}}
    return min(times, key=lambda threads: times[threads])


def timed(sides: dict[str, Turn], tokens: int, turns: int, threads: dict[str, int],
          size: dict[str, int]) -> dict[str, Any]:
    """Return the tokens a second of both sides, whose turns are for `size` tokens."""
    speeds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in tqdm(range(turns), unit="round", disable=None, desc="timing"):
        for side, turn in sides.items():
            speeds[side].append(size[side] / seconds(side, turn, tokens, threads[side]))
    (_, ours), *others = speeds.items()
    result: dict[str, Any] = {
        f"{side}_tokens_per_s": round(median(s), 1) for side, s in speeds.items()}
    for name, other in zip(("ratio", *(f"ratio_to_{side}" for side, _ in others[1:])),
                           (other for _, other in others), strict=False):
        result |= {name: round(median(ours) / median(other), 3),
                   f"{name}_quartiles": ratio_quartiles(ours, other)}
    return result


def check_agreement(model: Any, prompts: np.ndarray, sides: dict[str, Turn], tokens: int) -> None:
    """Raise RuntimeError where the sides' texts differ by more than rounding explains."""
    ours, theirs = (turn(tokens) for turn in sides.values())
    for prompt, one, other in zip(prompts, ours, theirs, strict=True):
        first = next((i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), None)
        if first is None:
            continue
        with no_grad():
            z = model.next_logits(np.array([[*prompt, *one[:first]]])).data[0]
        gap, largest = abs(z[one[first]] - z[other[first]]), np.abs(z).max()
        if gap > 1e-4 * largest:
            raise RuntimeError(f"the sides do not write the same: behind {[*prompt]} and "
                               f"{one[:first]}, {one[first]} and {other[first]}, whose logits are "
                               f"{gap:.1e} apart, of {largest:.1e} at most")


def check_logits(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Raise RuntimeError where the sides do not compute the same."""
    difference = float(np.abs(ours - theirs).max() / np.abs(ours).max())
    if difference > 1e-4:
        raise RuntimeError(f"the sides' logits differ by {difference:.1e} of the largest")


def beside_rival(args: argparse.Namespace, model: Any, tokens: int, turns: int) -> dict[str, Any]:
    """Return what was measured of ours and of transformers, if it is there."""
    prompts = drawn(model, args.batch, args.prefill or PROMPT)
    write = our_writer(model, prompts, args.batch)
    sides: dict[str, Turn] = {"ours": (lambda _: write(1)) if args.prefill else write}
    if args.vs == "transformers":
        rival = their_model(args, model)
        check_logits(our_reader(model, prompts)(0), their_reader(rival, prompts)(0))
        sides[args.vs] = their_reader(rival, prompts) if args.prefill else their_writer(
            rival, prompts)
        if not args.prefill:
            check_agreement(model, prompts, sides, tokens)
    elif args.vs == "llama.cpp":
        sides[args.vs] = llama_cpp_writer(args.folder, prompts[0], args.threads)
    threads = {side: args.threads if side == "llama.cpp" else
               best_threads(side, turn, tokens, args.threads) for side, turn in sides.items()}
    each = args.batch * (args.prefill or tokens)
    return {"batch": args.batch, "prefill": args.prefill, "tokens": tokens,
            **timed(sides, tokens, turns, threads, dict.fromkeys(sides, each)),
            "rival": args.vs, "threads": threads,
            **{package: importlib.metadata.version(package) for package in PACKAGES[args.vs]}}


def beside_ours(args: argparse.Namespace, model: Any, tokenizer: Any, tokens: int, turns: int
                ) -> dict[str, Any]:
    """Return what was measured of our way beside others; none counts its first turn."""
    stored: dict[str, int] = {}
    if args.mixed:
        ids, count = mixed(model)
        sides = {"together": in_turn(model, ids, count, len(ids)),
                 "one_by_one": in_turn(model, ids, count, 1)}
        if args.vs == "transformers":
            sides[args.vs] = rival_in_turn(their_model(args, model), ids, count)
    elif args.weights:
        prompts, sides = drawn(model, args.batch, PROMPT), {}
        for name in TYPES:
            one = our_model(args)[0]
            if name != "float32":
                store_weights(one, TYPES[name])
            sides[name] = our_writer(one, prompts, args.batch)
            stored[name] = sum(p.data.nbytes for p in parameters(one).values())
    else:
        prompts = drawn(model, args.batch, PROMPT)
        constraint = json_schema(SCHEMA, tokenizer, model.config.vocab_size)
        sides = {"constrained": our_writer(model, prompts, args.batch, constraint=constraint),
                 "free": our_writer(model, prompts, args.batch)}
    size = {side: sum(map(len, turn(tokens))) for side, turn in sides.items()}
    threads = {side: best_threads(side, turn, tokens, args.threads) for side, turn in sides.items()}
    mode = "mixed" if args.mixed else "weights" if args.weights else "constrained"
    return {"mode": mode, "batch": args.batch, **({"weight_bytes": stored} if stored else {}),
            "tokens": size, "threads": threads, **timed(sides, tokens, turns, threads, size)}


def machine() -> dict[str, Any]:
    """Return what our numbers depend on besides the code."""
    blas = [f"{info['internal_api']} {info['version']} ({info.get('architecture')})"
            for info in threadpool_info()
            if info["user_api"] == "blas" and "numpy" in info["filepath"]]
    return {"cpu": cpu_model(), "cores": usable_cores(), "python": platform.python_version(),
            "numpy": np.__version__, "blas": "; ".join(blas) or "not recognised",
            "date": datetime.datetime.now(datetime.UTC).date().isoformat()}


def arguments() -> argparse.Namespace:
    """Return the command line's arguments, with the defaults filled in."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generate",
                                     description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, default="tiny")
    parser.add_argument("--folder", type=Path,
                        help="a folder of Hugging Face's or a GGUF file, for its model")
    parser.add_argument("--batch", type=positive, default=1, help="texts at once")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--prefill", type=positive, help="read prompts of so many tokens")
    mode.add_argument("--mixed", action="store_true", help="64 prompts, together or one by one")
    mode.add_argument("--constrained", action="store_true", help="by a JSON schema, and free")
    mode.add_argument("--weights", action="store_true", help="matrices in 16 bits, and in 32")
    mode.add_argument("--memory", action="store_true", help="bytes of cache a token")
    parser.add_argument("--vs", choices=PACKAGES,
                        help="the rival; default: transformers where it is installed")
    parser.add_argument("--tokens", type=positive, help="tokens of each text in a turn")
    parser.add_argument("--turns", type=positive, help="turns of each side")
    parser.add_argument("--threads", type=positive, default=usable_cores(),
                        help="threads of each side, at most; default: %(default)s")
    parser.add_argument("--out", type=Path, help="a file to append the line to")
    args = parser.parse_args()
    installed = all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
    if args.vs == "llama.cpp" and (not args.folder or args.batch > 1 or args.prefill):
        parser.error("--vs llama.cpp: it reads a GGUF file, given by --folder, for one text")
    if args.vs == "transformers" and not installed:
        parser.error("--vs transformers: it is not installed; pip install torch transformers, or "
                     "use --vs none")
    args.vs = args.vs or ("transformers" if installed else "none")
    if not installed:
        print("transformers is not installed: measuring ours alone", file=sys.stderr)
    return args


def main() -> None:
    """Measure one configuration and print its line, or lines."""
    args = arguments()
    model, tokenizer = our_model(args)
    name = args.folder.name if args.folder else args.config
    usual = FOLDER if args.folder else (CONFIGS[name].tokens, CONFIGS[name].turns)
    tokens, turns = args.tokens or usual[0], args.turns or usual[1]
    if args.memory:
        results = list(memory(model))
    elif args.mixed or args.constrained or args.weights:
        results = [beside_ours(args, model, tokenizer, tokens, turns)]
    else:
        results = [beside_rival(args, model, tokens, turns)]
    for result in results:
        publish({"config": name, **result, "turns": turns, **machine()}, args.out)


if __name__ == "__main__":
    main()
