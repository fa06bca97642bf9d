"""Runs and their folders: what is refused, what is written down, what may change."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from small_runs import TEXT, silent, small, weights, write_shards, write_text

from tinygrad_llm.data.prepared import is_prepared, prepare
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.nn import parameters
from tinygrad_llm.optim import Muon
from tinygrad_llm.train import load_model, next_token, resume_run, start_run, train
from tinygrad_llm.train.evaluation import validation_loss
from tinygrad_llm.train.folder.checkpoint import save_checkpoint
from tinygrad_llm.train.log import read_metrics
from tinygrad_llm.train.run import WarmStart, learning_rate, lock, open_run


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_text(tmp_path)


@pytest.fixture(params=["char", "bpe"])
def shards(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_shards(tmp_path / "shards", request.param)


def test_resuming_with_more_steps_and_not_with_another_model(text: Path, tmp_path: Path) -> None:
    train(start_run(small(text), tmp_path / "run"), silent)
    with pytest.raises(UserError, match="has width = 8, which cannot become 16"):
        resume_run(tmp_path / "run", {"width": 16})
    run = resume_run(tmp_path / "run", {"steps": 8})
    assert run.step == 6
    train(run, silent)
    assert resume_run(tmp_path / "run", {}).config.run.steps == 8


def test_a_second_run_in_the_same_folder_is_refused(text: Path, tmp_path: Path) -> None:
    start_run(small(text), tmp_path / "run")
    with pytest.raises(UserError, match=r"already holds a run; go on with it with --resume"):
        start_run(small(text), tmp_path / "run")
    with pytest.raises(UserError, match=r"is a file; name a folder"):
        start_run(small(text), Path(text))
    with pytest.raises(UserError, match=r"there is no run to resume"):
        resume_run(tmp_path / "elsewhere", {})


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_overwriting_deletes_the_former_run_and_nothing_else(text: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(start_run(small(text), folder), silent)
    (folder / "notes.txt").write_text("mine")
    run = start_run(small(text, width=16), folder, overwrite=True)
    assert run.step == 0 and run.config.model["width"] == 16
    assert not (folder / "checkpoint").exists() and not (folder / "metrics.jsonl").exists()
    assert (folder / "notes.txt").read_text() == "mine" and not (folder / "overwritten").exists()
    train(run, silent)
    assert load_model(folder)[2].model["width"] == 16
    assert start_run(small(text), tmp_path / "new", overwrite=True).step == 0


def test_an_overwriting_run_that_cannot_start_leaves_the_former(text: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    train(start_run(small(text), folder), silent)
    before = files(folder)
    (tmp_path / "short.txt").write_text("a")
    for config in (small(tmp_path / "short.txt"), small(text, width=2**40)):
        with pytest.raises(UserError):
            start_run(config, folder, overwrite=True)
        assert files(folder) == before
    (folder / "overwritten").mkdir()
    with pytest.raises(UserError, match="interrupted had set aside; move its content back"):
        start_run(small(text), folder, overwrite=True)
    assert files(folder) == before


def test_a_warm_start_has_the_weights_and_the_tokenizer(text: Path, tmp_path: Path) -> None:
    base, new = tmp_path / "base", tmp_path / "new"
    train(start_run(small(text), base), silent)
    (tmp_path / "part.txt").write_text("A dog says no!\n" * 30)  # fewer characters than the base
    init = WarmStart(base)
    run = start_run(small(tmp_path / "part.txt", **init.model_settings(), steps=2), new, init=init)
    assert {name: p.data.tobytes() for name, p in parameters(run.model).items()} == weights(base)
    assert (new / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
    assert run.step == 0 and all((m == 0).all() for m in run.optimizer.m.values())
    train(run, silent)
    assert weights(new) != weights(base)
    shutil.rmtree(new / "data")  # the text is cut again, by the same tokenizer
    assert resume_run(new, {"steps": 3}).step == 2


@pytest.mark.parametrize("scaling, numbers", [
    ("llama3 factor=8 low=1 high=4", "original=6"), ("dynamic factor=3", "original=2"),
    ("yarn original=3", "factor=2")])
def test_a_warm_start_on_longer_texts_has_the_same_positions_or_those_that_are_named(
        scaling: str, numbers: str, text: Path, tmp_path: Path) -> None:
    base = {"arch": "llama", "context": 6, "steps": 1, "rope_scaling": scaling}
    train(start_run(small(text, **base), tmp_path / "base"), silent)
    init = WarmStart(tmp_path / "base")
    given = {**init.model_settings(), "context": 12}
    with pytest.raises(UserError, match=rf'was 6 and is 12.*"{scaling} {numbers}"'):
        start_run(small(text, **given), tmp_path / "new", init=init)
    for n, other in enumerate(({"rope_scaling": f"{scaling} {numbers}"}, {
            "rope_scaling": "linear factor=2", "theta": 500.0}, {"context": 6})):
        run = start_run(small(text, **{**given, **other}), tmp_path / str(n), init=init)
        assert run.model.wte.weight.data.tobytes() == weights(  # type: ignore[attr-defined]
            tmp_path / "base")["wte.weight"]


def test_warm_starts_that_do_not_fit(text: Path, shards: Path, tmp_path: Path) -> None:
    train(start_run(small(text), tmp_path / "base"), silent)
    init = WarmStart(tmp_path / "base")
    with pytest.raises(UserError, match="is from another configuration: heads 2 there and 1 here"):
        start_run(small(text, heads=1), tmp_path / "new", init=init)
    with pytest.raises(UserError, match=r"another tokenizer than the run.*--tokenizer .*base/tok"):
        start_run(small(shards), tmp_path / "new", init=init)
    (tmp_path / "other.txt").write_text("中文 " * 50)
    with pytest.raises(UserError, match="the tokenizer does not suit the text"):
        start_run(small(tmp_path / "other.txt"), tmp_path / "new", init=init)
    with pytest.raises(UserError, match="no run in .*absent to begin with; check --init"):
        WarmStart(tmp_path / "absent").model_settings()
    assert not (tmp_path / "new").exists()
    shutil.copytree(shards, tmp_path / "own/data")  # the user's own
    for out in ("own", "own/data"):
        with pytest.raises(UserError, match=f"{out} holds data, which a run in it would write"):
            start_run(small(tmp_path / "own/data"), tmp_path / out, overwrite=True, init=init)
    assert is_prepared(tmp_path / "own/data")
    assert start_run(small(text, dropout=0.3), tmp_path / "new", init=init).step == 0


def test_bad_data_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("")
    with pytest.raises(UserError, match="no text"):
        start_run(small(str(tmp_path / "text.txt")), tmp_path / "run")
    (tmp_path / "text.txt").write_text("short.")
    with pytest.raises(UserError, match=r"6 tokens, too few: .* context 8 .*need 9; give more"):
        start_run(small(str(tmp_path / "text.txt")), tmp_path / "run")
    with pytest.raises(UserError, match="cannot read .*No such file"):
        start_run(small(str(tmp_path / "absent.txt")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_prepared_folder_serves_several_runs(text: Path, tmp_path: Path) -> None:
    prepare(TEXT, tmp_path / "ready", context=1)
    run = start_run(small(str(tmp_path / "ready")), tmp_path / "run")
    assert not (tmp_path / "run" / "data").exists()
    direct = start_run(small(text), tmp_path / "direct")
    assert np.array_equal(run.data.train, direct.data.train)
    (tmp_path / "ready" / "train.bin").write_bytes(b"12345")
    with pytest.raises(UserError, match="no whole token file"):
        start_run(small(str(tmp_path / "ready")), tmp_path / "other")


def test_slices_are_written_down_and_follow_the_batch(text: Path, tmp_path: Path) -> None:
    run = start_run(small(text, batch=40), tmp_path / "run")
    assert run.config.run.slices == 2
    train(run, silent)
    assert resume_run(tmp_path / "run", {}).config.run.slices == 2
    assert resume_run(tmp_path / "run", {"batch": 1}).config.run.slices == 1
    assert resume_run(tmp_path / "run", {"batch": 9, "slices": 3}).config.run.slices == 3
    assert resume_run(tmp_path / "run", {"batch": 8, "shards": 4}).config.run.slices == 4
    assert resume_run(tmp_path / "run", {"accumulate": 2}).config.run.slices == 4, "2 at a time"
    assert resume_run(tmp_path / "run", {"accumulate": 8}).config.run.slices == 8


def test_a_resumed_run_reads_on_in_the_shards(shards: Path, tmp_path: Path) -> None:
    whole = start_run(small(shards), tmp_path / "whole")
    train(whole, silent)
    train(start_run(small(shards, steps=3), tmp_path / "halves"), silent)
    resumed = resume_run(tmp_path / "halves", {"steps": 6})
    assert resumed.step == 3
    # The schedule of the first half ended at 3: only what is read can be compared.
    batches = [run.batches(run.data.train, 1).at(5) for run in (whole, resumed)]
    assert all(map(np.array_equal, *batches))
    train(resumed, silent)
    assert all(np.isfinite(p.data).all() for p in parameters(resumed.model).values())


def test_a_validation_part_shorter_than_a_window_is_left_out(shards: Path, tmp_path: Path) -> None:
    said: list[str] = []
    run = start_run(small(shards, context=400, steps=1), tmp_path / "run")
    assert run.data.validation is None
    train(run, said.append)
    assert any("no validation loss" in line for line in said)


def test_what_the_weights_depend_on_cannot_change(text: Path, tmp_path: Path) -> None:
    start_run(small(text), tmp_path / "run")
    for name, value in {"layers": 2, "heads": 1, "width": 4, "context": 4, "dropout": 0.0,
                        "bias": False, "seed": 1, "data": "other.txt", "preset": "baby",
                        "arch": "other"}.items():
        with pytest.raises(UserError, match=f"has {name} = .*, which cannot become .*--out"):
            resume_run(tmp_path / "run", {name: value})
    run = resume_run(tmp_path / "run", {"optimizer": {"learning_rate": 0.5}, "data": {"batch": 3}})
    assert run.config.optimizer.learning_rate == 0.5 and run.config.data.batch == 3


def test_a_run_of_version_0_1_goes_on(text: Path, tmp_path: Path) -> None:
    """Its settings stood in one table, batches were cut into `shards`, and models had no name."""
    folder = tmp_path / "run"
    train(start_run(small(text, steps=3), folder), silent)
    expected = weights(folder)
    (folder / "config.toml").write_text("".join(
        f"{name.replace('slices', 'shards')} = {json.dumps(value)}  # a help text\n"
        for name, value in small(text, steps=3, slices=2).flat().items() if name != "arch"))
    state = folder / "checkpoint" / "state.json"
    content = json.loads(state.read_bytes())
    del content["arch"]
    state.write_text(json.dumps(content))
    assert weights(folder) == expected
    run = resume_run(folder, {"steps": 5})
    assert run.step == 3 and run.config == small(text, steps=5, slices=2)
    assert train(run, silent)
    assert "[optimizer]" in (folder / "config.toml").read_text()
    assert json.loads(state.read_bytes())["arch"] == "gpt"


def test_the_uses_of_a_seed_have_different_keys(text: Path, tmp_path: Path) -> None:
    run = start_run(small(text), tmp_path / "run")
    assert len({run.key(use) for use in range(5)}) == 5
    assert run.objective is next_token
    batches = [run.batches(run.data.train, use).at(0)[0] for use in (1, 2)]
    assert not np.array_equal(*batches)


def test_weights_without_a_state_are_left_alone(text: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(start_run(small(text), run), silent)
    (run / "checkpoint" / "state.json").unlink()
    before = sorted(path.name for path in (run / "checkpoint").iterdir())
    words = "weights-0000006.safetensors but no state.json.*restore state.json"
    for action in (lambda: resume_run(run, {}), lambda: load_model(run)):
        with pytest.raises(UserError, match=words):
            action()
    with pytest.raises(UserError, match="already holds a run"):
        start_run(small(text), run)
    assert sorted(path.name for path in (run / "checkpoint").iterdir()) == before


def test_one_process_at_a_time(text: Path, tmp_path: Path) -> None:
    run = tmp_path / "deep" / "run"
    run.mkdir(parents=True)
    with lock(run):
        for action in (lambda: start_run(small(text), run), lambda: resume_run(run, {})):
            with pytest.raises(UserError, match="is at work in .*another folder with --out"):
                action()
            (run / "config.toml").write_text("")
    (run / "config.toml").unlink()
    start_run(small(text), run)
    assert not (run / "lock").exists()


def test_a_start_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("short.")
    with pytest.raises(UserError, match="too few"):
        start_run(small(str(tmp_path / "text.txt")), tmp_path / "a" / "b" / "run")
    (tmp_path / "c").mkdir()
    with pytest.raises(UserError, match="too few"):
        start_run(small(str(tmp_path / "text.txt")), tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "text.txt"]


@pytest.mark.parametrize("width", [2**40, 2**62])
def test_a_model_beyond_all_memory_is_a_sentence(text: Path, tmp_path: Path, width: int) -> None:
    with pytest.raises(UserError, match="does not fit in memory .*choose a smaller"):
        start_run(small(text, width=width), tmp_path / "run")
    assert not (tmp_path / "run" / "config.toml").exists()


def test_a_batch_beyond_all_memory_is_a_sentence(text: Path, tmp_path: Path) -> None:
    run = start_run(small(text, batch=2**50), tmp_path / "run")
    with pytest.raises(UserError, match="step 1: memory ran out .*--batch or --context"):
        train(run, silent)


def test_a_rate_below_its_minimum_is_refused_at_the_start(text: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="learning rate 5e-05 lies below min_learning_rate 0.0001, "
                                        "so it would rise.*--min-learning-rate"):
        start_run(small(text, learning_rate=5e-5), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    same = start_run(small(text, learning_rate=5e-5, min_learning_rate=5e-5), tmp_path / "run")
    assert same.notes == ()


def test_schedules_that_surprise_are_said(text: Path, tmp_path: Path) -> None:
    assert start_run(small(text), tmp_path / "usual").notes == ()
    run = start_run(small(text, warmup=10), tmp_path / "run")
    assert [*run.notes] == ["the warmup of 10 steps is as long as the run of 6 or longer: the "
                            "learning rate only rises, to 0.000545 of 0.001; give a smaller "
                            "--warmup"]
    said: list[str] = []
    train(run, said.append)
    assert said[0] == run.notes[0]
    train(start_run(small(text), tmp_path / "done"), silent)
    assert resume_run(tmp_path / "done", {}).notes == ()
    run = resume_run(tmp_path / "done", {"steps": 60})
    assert [*run.notes] == ["the learning rate jumps from 0.0001 to 0.000989 at step 7: its "
                            "schedule is that of 60 steps from the beginning"]
    run = resume_run(tmp_path / "done", {"learning_rate": 1e-5})
    assert any("lies below min_learning_rate 0.0001: it rises" in note for note in run.notes)
    with pytest.raises(UserError, match="is at step 6, past --steps 4; give more"):
        resume_run(tmp_path / "done", {"steps": 4})
    assert resume_run(tmp_path / "done", {}).config.run.steps == 60


def test_the_rate_is_the_schedules(text: Path, tmp_path: Path) -> None:
    config = small(text, schedule="wsd", cooldown=0.5, steps=10, learning_rate=1e-2,
                   min_learning_rate=0.0)
    found = [learning_rate(config, step) for step in range(10)]
    assert found == pytest.approx([0.01 / 3, 0.02 / 3, *[0.01] * 4, 0.008, 0.006, 0.004, 0.002])
    train(start_run(config, tmp_path / "run"), silent)
    records = read_metrics(tmp_path / "run/metrics.jsonl")
    assert next(r["lr"] for r in records if "lr" in r) == 0.01 / 3
    cooled = resume_run(tmp_path / "run", {"steps": 20})
    assert cooled.notes[0].startswith("the learning rate jumps from 0 to 0.01 at step 11")
    assert resume_run(tmp_path / "run", {"steps": 40}, "9").notes == (), "what is stable goes on"
    assert resume_run(tmp_path / "run", {"schedule": "linear"}).config.optimizer.cooldown == 0.2
    constant = small(text, schedule="constant", learning_rate=1e-5)
    assert start_run(constant, tmp_path / "constant").notes == ()
    with pytest.raises(UserError, match="lies below min_learning_rate"):
        start_run(small(text, schedule="linear", learning_rate=1e-5), tmp_path / "linear")


def test_the_optimizer_is_that_of_the_run(text: Path, tmp_path: Path) -> None:
    config = small(text, optimizer="muon", groups="wte*: decay=0", momentum=0.8)
    run = start_run(config, tmp_path / "run")
    assert isinstance(run.optimizer, Muon) and run.optimizer.momentum == 0.8
    assert run.optimizer.factors["wte.weight"].decay == 0
    for setting, value in (("optimizer", "adamw"), ("momentum", 0.7), ("adamw_for", "")):
        with pytest.raises(UserError, match=f"has {setting} = .* which cannot become"):
            resume_run(tmp_path / "run", {setting: value})
    assert resume_run(tmp_path / "run", {"groups": "wte*: lr=2"}).optimizer.factors[
        "wte.weight"] == (2, 1)
    with pytest.raises(UserError, match="no parameter has a name like 'wtf"):
        start_run(small(text, groups="wtf*: lr=2"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_there_is_no_earlier_checkpoint_before_the_first(text: Path, tmp_path: Path) -> None:
    start_run(small(text), tmp_path / "run")
    with pytest.raises(UserError, match="has no checkpoint yet"):
        resume_run(tmp_path / "run", {}, "best")


def test_a_place_that_cannot_be_written_down_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data: 'caf.udce9.txt' has bytes that are no UTF-8"):
        small("caf\udce9.txt")
    with pytest.raises(UserError, match="is no path: it has a zero byte"):
        start_run(small("a\0b"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_start_that_failed_leaves_no_data_to_the_next(text: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("other text " * 50)
    prepare(text.read_text(), tmp_path / "run" / "data", context=8)
    run = start_run(small(tmp_path / "other.txt"), tmp_path / "run")
    assert run.data.tokenizer.decode(run.data.train[:10].tolist()) == "other text"
    train(run, silent)
    assert resume_run(tmp_path / "run", {}).data.tokenizer.vocab_size == 7


FILES = ["config.toml", "data.json", "tokenizer.json", "metrics.jsonl", "data/train.bin",
         "data/train.json", "data/val.json", "data/tokenizer.json", "checkpoint/state.json",
         "checkpoint/weights-0000003.safetensors", "checkpoint/optimizer-0000003.safetensors"]


@pytest.mark.parametrize("name", FILES)
def test_whatever_becomes_of_a_file_there_is_a_sentence(text: Path, tmp_path: Path,
                                                        name: str) -> None:
    run = tmp_path / "run"
    train(start_run(small(text, steps=3), run), silent)
    path = run / name
    whole = path.read_bytes()
    for content in (None, b"", whole[: len(whole) // 2], whole[:-1], b"\xff\x00" * 40, b"[" * 9999,
                    b'{"step": 1e999}', b"[1]\n[2]\n"):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        for action in (lambda: load_model(run), lambda: resume_run(run, {"steps": 5})):
            with suppress(UserError):  # any other error fails the test
                action()
        assert (run / "checkpoint").is_dir() and not (run / "lock").exists()


@pytest.mark.parametrize("inner", ["", "text.txt", "deep/text.txt"])
def test_a_folder_of_the_users_is_never_taken_for_the_runs_copy(tmp_path: Path, inner: str,
                                                                monkeypatch: pytest.MonkeyPatch
                                                                ) -> None:
    """A start that fails, and --overwrite, delete DIR/data: it must not be what is trained on."""
    place = tmp_path / "mine" / "data" / (inner or "text.txt")
    place.parent.mkdir(parents=True)
    place.write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    for out in (Path("mine"), tmp_path / "mine"):
        for overwrite in (False, True):
            with pytest.raises(UserError, match="mine holds data, which a run in it"):
                start_run(small(tmp_path / "mine" / "data" / inner), out, overwrite)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [place]


@pytest.mark.parametrize("stored", ["bfloat16", "float16"])
def test_weights_are_read_into_16_bits(stored: str, tmp_path: Path) -> None:
    assert train(start_run(small(write_text(tmp_path)), tmp_path / "run"), silent)
    full, half = (parameters(load_model(tmp_path / "run", "last", which)[0])
                  for which in ("float32", stored))
    for name, p in half.items():
        assert p.dtype == (stored if p.ndim > 1 else "float32")
        assert np.array_equal(p.data, full[name].data.astype(p.dtype))
    run = open_run(tmp_path / "run", "last", stored)
    last = validation_loss(open_run(tmp_path / "run"), 3)
    assert validation_loss(run, 3) != last
    assert validation_loss(run, 3) == pytest.approx(last, rel=1e-3)


def test_weights_beyond_float16_name_the_way_out(tmp_path: Path) -> None:
    run = start_run(small(write_text(tmp_path)), tmp_path / "run")
    run.model.head.data[0, 0] = 1e6
    save_checkpoint(tmp_path / "run/checkpoint", run.model, run, 0)
    with pytest.raises(UserError, match="beyond the range of float16; give --weights bfloat16"):
        load_model(tmp_path / "run", "last", "float16")
    assert load_model(tmp_path / "run", "last", "bfloat16")
