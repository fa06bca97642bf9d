"""The file of a sweep, as people write it, right and wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.sweep import Sweep, read_sweep

GOOD = """
seeds = [1, 2]
[train]
steps = 5
preset = "tiny-llama"
[grid]
learning_rate = [1e-3, 3e-3]
width = [32, 64, 96]
"""


def read(folder: Path, text: str) -> Sweep:
    path = folder / "sweep.toml"
    path.write_text(text, encoding="utf-8")
    return read_sweep(path)


def test_a_run_for_each_choice_and_seed(tmp_path: Path) -> None:
    sweep = read(tmp_path, GOOD)
    assert [(t.point["learning_rate"], t.point["width"], t.seed) for t in sweep.trials] == [
        (lr, width, seed) for lr in (1e-3, 3e-3) for width in (32, 64, 96) for seed in (1, 2)]
    first = sweep.trials[0]
    assert first.name == "learning_rate=0.001,width=32,seed=1"
    assert first.config.flat() | {"arch": "llama", "steps": 5, "width": 32, "seed": 1,
                                  "learning_rate": 1e-3} == first.config.flat()
    assert len({t.name for t in sweep.trials}) == 12


def test_settings_may_stand_in_their_tables_and_seeds_be_left_out(tmp_path: Path) -> None:
    sweep = read(tmp_path, "[train.run]\nsteps = 5\nseed = 9\n[grid.model]\nwidth = [32, 64]\n"
                           "arch = ['gpt', 'llama']")
    assert [(t.config.arch, t.config.model["width"], t.seed) for t in sweep.trials] == [
        ("gpt", 32, 9), ("llama", 32, 9), ("gpt", 64, 9), ("llama", 64, 9)]


def test_values_that_no_folder_can_be_named_after(tmp_path: Path) -> None:
    sweep = read(tmp_path, "[train]\narch = 'llama'\n[grid]\nrope_scaling = ['linear factor=4', "
                           "'linear factor=4.0', '']\n")
    names = [t.name for t in sweep.trials]
    assert len(set(names)) == 3
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz_=.,-0123456789") for name in names)
    long = read(tmp_path, f"[train]\n[grid]\ndata = ['{'x' * 300}', '{'x' * 299}/']\n")
    assert len({t.name for t in long.trials}) == 2
    assert all(len(t.name) < 120 for t in long.trials)


@pytest.mark.parametrize("text, words", [
    ("[train]\nsteps = 5\n", "the grid is empty: name settings in"),
    ("[grid]\n", "the grid is empty"),
    ("", "the grid is empty"),
    ("[grid]\nwidth = []\n", r"width: expected a list of values, such as \[1, 2\], got \[\]"),
    ("[grid]\nwidth = 64\n", "width: expected a list of values.* got 64"),
    ("[grid]\nwidht = [64]\n", "unknown setting 'widht'; did you mean 'width'"),
    ("[train]\nstesp = 5\n[grid]\nwidth = [64]\n", "unknown setting 'stesp'; did you mean 'steps'"),
    ("[grids]\nwidth = [64]\n", "unknown 'grids'; did you mean 'grid'"),
    ("grid = [1]\n", r"grid is the table \[grid\], got \[1\]"),
    ("[grid]\nwidth = [64, 64]\n", "width has 64 twice"),
    ("[grid]\nseed = [1, 2]\n", "seed stands in the grid; name the seeds above the tables"),
    ("[train]\nwidth = 64\n[grid]\nwidth = [64]\n", r"width stands in \[train\] and in \[grid\]"),
    ("seeds = 3\n[grid]\nwidth = [64]\n", "seeds: expected a list"),
    ("seeds = []\n[grid]\nwidth = [64]\n", "seeds: expected a list"),
    ("seeds = [1.5]\n[grid]\nwidth = [64]\n", "seed: expected a whole number, got 1.5"),
    ("[grid]\nwidth = [64, 65]\n", "the run of width=65, seed=1337: width must be a multiple"),
    ("[grid]\nlearning_rate = ['a']\n", "learning_rate: expected a number, got 'a'"),
    ("[grid]\nlearning_rate = [1e-3, 1e-5]\n", "the run of learning_rate=1e-05, .* lies below min"),
    (f"seeds = {list(range(31))}\n[grid]\nwidth = {list(range(4, 44, 4))}\n",
     "the grid has 310 runs, more than 300"),
    ("[grid]\nfinal_eval_batches = [20, 0]\n", "the run of final_eval_batches=0, .* compares the"),
    ("[grid\n", "is not a TOML file"),
    ("[grid]\nkey_heads = [2]\n", "key_heads is a setting of --arch llama"),
])
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read(tmp_path, text)


def test_a_grid_of_astronomical_size_is_counted_and_not_made(tmp_path: Path) -> None:
    lists = "\n".join(f"{name} = {list(range(1, 101))}" for name in (
        "width", "heads", "layers", "context", "batch", "steps", "warmup"))
    with pytest.raises(UserError, match="the grid has 100,000,000,000,000 runs, more than 300"):
        read(tmp_path, f"[grid]\n{lists}\n")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the sweep in .*: No such file"):
        read_sweep(tmp_path / "none.toml")
