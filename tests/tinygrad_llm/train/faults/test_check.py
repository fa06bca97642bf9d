"""What is damaged in a run's folder is found, whatever it is, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from small_runs import silent, small, write_text

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.train import load_model, resume_run, start_run, train
from tinygrad_llm.train.faults import check
from tinygrad_llm.train.faults.check import check_run
from tinygrad_llm.train.folder.checkpoint import read_state


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("check")
    config = small(write_text(folder), checkpoint_every=2, eval_every=2, keep=3)
    run = start_run(config, folder / "run")
    assert train(run, silent)
    return run.folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return copytree(whole, tmp_path / "run")


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def faults(folder: Path) -> dict[str, str]:
    return {part: fault for part, fault in check_run(folder)[0].items() if fault}


def test_a_whole_run_is_sound(run: Path) -> None:
    found, sound = check_run(run)
    assert not any(found.values()) and sound == [6, 4, 2]
    assert [*found][:4] == ["config.toml", "tokenizer.json", "data", "metrics.jsonl"]
    assert any(part.startswith("checkpoint 6, validation loss ") for part in found)


@pytest.mark.parametrize("break_it", [flip, cut, Path.unlink])
def test_every_file_of_every_checkpoint_counts(run: Path, break_it: Callable[[Path], None]) -> None:
    for one in read_state(run / "checkpoint")["checkpoints"]:
        for name in one.files:
            content = (run / "checkpoint" / name).read_bytes()
            break_it(run / "checkpoint" / name)
            (part, fault), = faults(run).items()
            assert part.startswith(f"checkpoint {one.step}") and fault.startswith(name)
            assert check_run(run)[1] == [step for step in (6, 4, 2) if step != one.step]
            (run / "checkpoint" / name).write_bytes(content)


@pytest.mark.parametrize("name, part", [
    ("config.toml", "config.toml"), ("tokenizer.json", "tokenizer.json"), ("data.json", "data"),
    ("data/train.bin", "data"), ("data/val.bin", "data"), ("checkpoint/state.json", "checkpoint")])
def test_all_other_files_count(run: Path, name: str, part: str) -> None:
    (run / name).write_bytes(b"\xff" + (run / name).read_bytes())
    assert part in faults(run)


def test_a_line_that_a_kill_cut_short_is_no_damage_and_one_in_the_middle_is(run: Path) -> None:
    metrics = run / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes() + b'{"step": 6, "lo')
    assert not faults(run)
    metrics.write_bytes(b'{"step": 1, "lo\n' + metrics.read_bytes())
    assert "1 of " in faults(run)["metrics.jsonl"]


def test_checkpoints_of_before_there_were_checksums_have_to_open(run: Path) -> None:
    path = run / "checkpoint/state.json"
    state = json.loads(path.read_text())
    for one in state["checkpoints"]:
        del one["sha256"]
    path.write_text(json.dumps(state))
    assert not faults(run)
    cut(run / "checkpoint" / state["weights"])
    assert len(faults(run)) == 1


def test_the_error_of_a_damaged_checkpoint_names_the_sound_ones(run: Path) -> None:
    kept = read_state(run / "checkpoint")["checkpoints"]
    flip(run / "checkpoint" / str(kept[0].optimizer))
    flip(run / "checkpoint" / kept[1].weights)
    words = "SHA-256 is not the one .* one that is sound: --checkpoint 2$"
    with pytest.raises(UserError, match=words):
        resume_run(run, {})
    flip(run / "checkpoint" / kept[0].weights)
    with pytest.raises(UserError, match=words):
        load_model(run)
    assert resume_run(run, {}, "2").step == 2


def test_a_run_at_work_that_saves_meanwhile_is_sound(run: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    def saving(folder: Path, one: Any) -> str:
        monkeypatch.undo()
        again = resume_run(run, {"steps": 12, "keep": 1})
        assert train(again, silent)
        return check.damage(folder, one)

    monkeypatch.setattr(check, "damage", saving)
    assert not faults(run) and check_run(run)[1][0] == 12


def test_a_run_before_its_first_checkpoint_is_sound_and_no_run_is_an_error(tmp_path: Path) -> None:
    run = start_run(small(write_text(tmp_path)), tmp_path / "run")
    assert check_run(run.folder) == ({part: "" for part in (
        "config.toml", "tokenizer.json", "data", "metrics.jsonl")}, [])
    with pytest.raises(UserError, match="there is no run in"):
        check_run(tmp_path)
