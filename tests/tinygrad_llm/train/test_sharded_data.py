"""Runs on a folder of token shards, with tokenizers of characters and of pairs of bytes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autograd import fold_in
from tinygrad_llm.data.batches.epochs import EpochBatches
from tinygrad_llm.data.prepared import open_tokenizer
from tinygrad_llm.data.tokens.shard_writer import ShardWriter
from tinygrad_llm.nn import parameters
from tinygrad_llm.text import CharTokenizer
from tinygrad_llm.text.algorithms.bpe import BPE
from tinygrad_llm.text.decoders import ByteLevel
from tinygrad_llm.text.tokenizer import Tokenizer
from tinygrad_llm.train import TrainConfig, load_model, loop, resume_run, start_run, train
from tinygrad_llm.train.log import read_metrics
from tinygrad_llm.train.step import train_step

DOCUMENTS = [f"the sheep says: number {i * i} €\n" for i in range(60)]
SMALL: dict[str, Any] = {
    "layers": 1, "heads": 2, "width": 8, "context": 8, "batch": 2, "steps": 6, "warmup": 2,
    "dropout": 0.1, "log_every": 2, "eval_every": 3, "eval_batches": 2, "final_eval_batches": 3,
    "sample_every": 4, "sample_tokens": 20, "checkpoint_every": 3,
}


@pytest.fixture(params=["char", "bpe"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    if request.param == "char":
        CharTokenizer.from_text("".join(DOCUMENTS)).save(folder / "tokenizer.json")
    else:
        vocab = {bytes([b]): b for b in range(256)} | {b"th": 256, b"the": 257}
        Tokenizer(BPE(vocab, [(b"t", b"h"), (b"th", b"e")]),
                  decoder=ByteLevel()).save(folder / "tokenizer.json")
    write_part(folder / "train", DOCUMENTS[:50])
    write_part(folder / "val", DOCUMENTS[50:])
    return folder


def write_part(folder: Path, documents: list[str]) -> None:
    path = folder.parent / "tokenizer.json"
    tokenizer = open_tokenizer(path)
    with ShardWriter(folder, tokenizer.vocab_size, 100, tokenizer=path) as writer:
        for document in documents:
            writer.add(tokenizer.encode(document))


def config(data: Path, **changes: Any) -> TrainConfig:
    return TrainConfig(**{**SMALL, "data": str(data), **changes})


def silent(line: str) -> None:
    pass


def test_a_run_trains_on_shards(data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    run = start_run(config(data, steps=30), tmp_path / "run")
    assert train(run, said.append)
    assert (tmp_path / "run" / "tokenizer.json").read_bytes() == (
        data / "tokenizer.json").read_bytes()
    losses = [r["loss"] for r in read_metrics(tmp_path / "run" / "metrics.jsonl") if "loss" in r]
    assert losses[-1] < losses[0]
    assert any("validation loss" in line for line in said)
    assert any("sample after 4 steps" in line for line in said)
    model, tokenizer, _ = load_model(tmp_path / "run")
    assert model.config.vocab_size == tokenizer.vocab_size == run.data.tokenizer.vocab_size
    again = "".join(map(str, run.data.tokenizer.encode(DOCUMENTS[0])))
    assert "".join(map(str, tokenizer.encode(DOCUMENTS[0]))) == again


def test_the_steps_are_those_of_the_epochs(data: Path, tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    run = start_run(config(data), tmp_path / "run")
    seen = []
    step = train_step

    def watched(model: Any, optimizer: Any, objective: Any, batch: Any, **others: Any) -> Any:
        seen.append(batch)
        return step(model, optimizer, objective, batch, **others)

    monkeypatch.setattr(loop, "train_step", watched)
    train(run, silent)
    batches = EpochBatches(run.data.train, 2, 8, fold_in(run.config.seed, 1))
    assert len(seen) == 6
    for number, pair in enumerate(seen):
        assert all(map(np.array_equal, pair, batches.at(number)))


def test_resuming_equals_not_stopping(data: Path, tmp_path: Path) -> None:
    whole = start_run(config(data), tmp_path / "whole")
    train(whole, silent)
    train(start_run(config(data, steps=3), tmp_path / "halves"), silent)
    resumed = resume_run(tmp_path / "halves", {"steps": 6})
    assert resumed.step == 3
    # The schedule of the first half ended at 3: only what is read can be compared.
    batches = [run.batches(run.data.train, 1).at(5) for run in (whole, resumed)]
    assert all(map(np.array_equal, *batches))
    train(resumed, silent)
    assert all(np.isfinite(p.data).all() for p in parameters(resumed.model).values())


def test_a_validation_part_shorter_than_a_window_is_left_out(data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    run = start_run(config(data, context=400, steps=1), tmp_path / "run")
    assert run.data.validation is None
    train(run, said.append)
    assert any("no validation loss" in line for line in said)
