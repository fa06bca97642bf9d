"""A disk that fills up at any file of a run: one sentence, nothing lost, and the run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree

import pytest
import small_runs
from command_line import SMALL, TEXT
from small_runs import weights

from tinygrad_llm.cli import main
from tinygrad_llm.cli import train as cli
from tinygrad_llm.host.files import sha256_of, write_in_one_step
from tinygrad_llm.sweep.runs import _work
from tinygrad_llm.train import loop, make_config
from tinygrad_llm.train.folder.checkpoint import Saved, read_state

pytestmark = pytest.mark.uncut  # the fixture's runs are made before a test's arrays are cut

resource = pytest.importorskip("resource")  # Windows has no such limit

SETTINGS = ["train", "--data", "text.txt", *SMALL, "--sample-every", "2", "--eval-every", "2",
            "--log-every", "1", "--checkpoint-every", "2", "--ema", "0.9"]
PICTURE = 50_000  # bytes of loss.png


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Draw no picture, but write one; predict nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "plot_loss", lambda records, path: write_in_one_step(
            path, [bytes(PICTURE)]) is None)
        patch.setattr(cli, "_compare", lambda run, threads: None)
        yield


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Let every write fail beyond that place of a file, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a run after 3 of 5 steps, `half`, and the same at its end, `whole`.

    Their metrics are longer than their settings, and shorter than the weights.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder := tmp_path_factory.mktemp("full"))
        (folder / "text.txt").write_text(TEXT)
        assert main([*SETTINGS, "--steps", "3", "--out", "half"]) == 0
        metrics = folder / "half/metrics.jsonl"
        metrics.write_text(f'{{"step": 1, "sample": "{3800 * "x"}"}}\n' + metrics.read_text())
        copytree("half", "whole")
        assert main(["train", "--resume", "--steps", "5", "--out", "whole"]) == 0
        yield folder


@pytest.fixture
def folder(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    copytree(runs, tmp_path, dirs_exist_ok=True)
    return tmp_path


def whole_checkpoints(run: Path) -> list[Saved]:
    """Return a run's checkpoints, once it is sure that their files are as they were written."""
    kept: list[Saved] = read_state(run / "checkpoint")["checkpoints"]
    for one in kept:
        assert {name: sha256_of(run / "checkpoint" / name) for name in one.files} == one.sha256
    return kept


def fails_at(name: str, size: int, args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command that must fail at a file, or say that it is not there."""
    capsys.readouterr()
    with no_file_larger_than(size):
        code = main(args)
    shown = capsys.readouterr()
    said = shown.out if name == "loss.png" else shown.err.splitlines()[-1]
    assert name in said and "File too large" in said and "Traceback" not in shown.err
    assert code == (0 if name == "loss.png" else 2)


RESUMED = {"lock": 0, "config.toml": 2000, "metrics.jsonl": None, "weights-": None,
           "loss.png": PICTURE - 1}
"""The files at which a disk may be full, and the first size that fails; None for the file's."""


@pytest.mark.parametrize("name", RESUMED)
def test_a_run_that_goes_on(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    again = ["train", "--resume", "--steps", "5", "--out", "half"]
    before = whole_checkpoints(folder / "half")
    full = next((path.stat().st_size - 1 for path in (folder / "whole").rglob(f"{name}*5.*s")),
                (folder / "half/metrics.jsonl").stat().st_size)
    fails_at(name, full if RESUMED[name] is None else RESUMED[name], again, capsys)
    after = whole_checkpoints(folder / "half")
    assert (after == before) == (name != "loss.png")
    assert main(again) == 0
    assert weights(folder / "half") == weights(folder / "whole")
    assert not [*(folder / "half").rglob(".*")], "nothing half-written is left"


def test_a_run_that_begins(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = [*SETTINGS, "--steps", "3", "--out", "new"]
    fails_at("cannot write to new", 1000, start, capsys)  # at its tokens
    assert not (folder / "new").exists() and main(start) == 0
    assert weights(folder / "new") == weights(folder / "half")


def test_texts_that_are_written_to_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["sample", "whole", "--n", "3", "-n", "5", "--seed", "1"]
    assert main([*ask, "--out", "all.jsonl"]) == 0
    whole = (folder / "all.jsonl").read_bytes()
    fails_at("some.jsonl", len(whole) - 9, [*ask, "--out", "some.jsonl"], capsys)
    assert whole.startswith((folder / "some.jsonl").read_bytes())
    assert main([*ask, "--out", "some.jsonl", "--resume"]) == 0
    assert (folder / "some.jsonl").read_bytes() == whole


def test_a_run_of_a_sweep(folder: Path) -> None:
    """It ends with its reason, and no other for it; it is done once there is room."""
    settings = make_config({"data": "text.txt", **small_runs.SMALL}).flat()
    for size in (100, 4000):  # its output does not fit, nor its settings
        with no_file_larger_than(size):
            reason = _work(settings, folder / "one", 1)
        assert "File too large" in reason and (folder / "one/failed.txt").exists()
    assert _work(settings, folder / "one", 1) == "" and not (folder / "one/failed.txt").exists()
