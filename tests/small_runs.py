"""Small runs for the tests: their text, their settings, and what they leave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tinygrad_llm.data.prepared import open_tokenizer
from tinygrad_llm.data.tokens.shard_writer import ShardWriter
from tinygrad_llm.nn import parameters
from tinygrad_llm.text import CharTokenizer
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.decoders import ByteLevel
from tinygrad_llm.text.special import AddedToken, AddedTokens
from tinygrad_llm.text.tokenizer import Tokenizer
from tinygrad_llm.train import TrainConfig, load_model, loop, make_config, train
from tinygrad_llm.train.folder import checkpoint
from tinygrad_llm.train.run import Run, write_run

TEXT = "".join(f"A sheep says number {i * i}.\nThe dog {i}: no!\n" for i in range(60))
SMALL: dict[str, Any] = {
    "layers": 1, "heads": 2, "width": 8, "context": 8, "batch": 2, "steps": 6, "warmup": 2,
    "dropout": 0.1, "log_every": 2, "eval_every": 3, "eval_batches": 2, "final_eval_batches": 3,
    "sample_every": 4, "sample_tokens": 5, "checkpoint_every": 3,
}


def write_text(folder: Path) -> Path:
    """Write TEXT to a file in the folder; return its path."""
    path = folder / "text.txt"
    path.write_text(TEXT)
    return path


def small(data: Any, **changes: Any) -> TrainConfig:
    """Return the settings of a small run on some data."""
    return make_config({**SMALL, "data": str(data), **changes})


def weights(folder: Path) -> dict[str, bytes]:
    """Return the weights of a run's checkpoint, bit for bit."""
    model, _, _ = load_model(folder)
    return {name: p.data.tobytes() for name, p in parameters(model).items()}


class Killed(BaseException):
    """As kill -9: nothing is saved after it."""


def kill_before_state(patch: pytest.MonkeyPatch) -> None:
    """Raise Killed where a checkpoint's files are written, and `state.json` is to name them."""
    write = checkpoint.write_in_one_step

    def killed(path: Path, parts: Any) -> None:
        if path.name == "state.json":
            raise Killed
        write(path, parts)

    patch.setattr(checkpoint, "write_in_one_step", killed)


def silent(line: str) -> None:
    """Say nothing."""


def train_until(run: Run, step: int, threads: int | None = None) -> None:
    """Train a run until it is interrupted where the step after `step` begins."""
    real = loop.train_step

    def stopping(*args: Any, **options: Any) -> Any:
        if run.step == step:
            raise KeyboardInterrupt
        return real(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "train_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(run, silent, threads=threads)


DOCUMENTS = [f"the sheep says: number {i * i} €\n" for i in range(60)]


def write_shards(folder: Path, kind: str) -> Path:
    """Write DOCUMENTS as token shards for training and validation, with a tokenizer of a kind."""
    path = folder / "tokenizer.json"
    folder.mkdir()
    if kind == "char":
        CharTokenizer.from_text("".join(DOCUMENTS)).save(path)
    else:
        vocab = {bytes([b]): b for b in range(256)} | {b"th": 256, b"the": 257}
        Tokenizer(BPE(vocab, [(b"t", b"h"), (b"th", b"e")]), decoder=ByteLevel()).save(path)
    tokenizer = open_tokenizer(path)
    for part, documents in (("train", DOCUMENTS[:50]), ("val", DOCUMENTS[50:])):
        with ShardWriter(folder / part, tokenizer.vocab_size, 100, tokenizer=path) as writer:
            for document in documents:
                writer.add(tokenizer.encode(document))
    return folder


CHATML = ("<|im_start|>", "<|im_end|>")


def write_chat_run(folder: Path, context: int = 200, names: Sequence[str] = CHATML,
                   **beside: str) -> Path:
    """Make a run of a random model whose tokenizer has these control tokens.

    `beside` are the small files that came with it, by their names without an ending.
    """
    added = AddedTokens(AddedToken(name, 256 + i) for i, name in enumerate(names))
    model = BPE({bytes([b]): b for b in range(256)})
    tokenizer = Tokenizer(model, decoder=ByteLevel(), added=added)
    config = make_config({**SMALL, "context": context, "data": "", "dropout": 0.0, "width": 16})
    network = config.new_model(tokenizer.vocab_size, seed=1)
    for p in parameters(network).values():
        p.data *= 8  # far from uniform, so that what is said depends on what was said
    kinds = {"chat_template": "jinja", "storage": "json", "generation_config": "json"}
    files = {"storage": '{"storage": "float32", "other": {}}', **beside}
    write_run(folder, network, tokenizer, {f"{name}.{kinds[name]}": content.encode()
                                         for name, content in files.items()})
    return folder
