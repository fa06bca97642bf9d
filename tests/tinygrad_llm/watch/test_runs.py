"""Which runs there are, how they stand, and what a page is sent of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_runs import silent, small, write_text

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.host.lock import locked
from tinygrad_llm.train.config import make_config, to_toml
from tinygrad_llm.train.loop import train
from tinygrad_llm.train.run import start_run
from tinygrad_llm.watch.runs import AT_ONCE, Feed, facts_of, find_runs


def write_run(folder: Path, records: int = 0, **settings: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(to_toml(make_config(settings)))
    (folder / "metrics.jsonl").write_text("".join(
        json.dumps({"step": step, "loss": 1.0}) + "\n" for step in range(1, records + 1)))
    return folder


def messages(feed: Feed) -> list[dict[str, object]]:
    return [json.loads(message) for message in feed.news()]


def test_runs_are_found_in_folders_of_runs_each_once(tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "runs/a"), write_run(tmp_path / "runs/sweep/b")
    write_run(tmp_path / "runs/.hidden")
    assert find_runs([tmp_path / "runs"]) == [a, b]
    assert find_runs([a, tmp_path / "runs"]) == [a, b]
    (tmp_path / "runs/none").mkdir()
    assert find_runs([tmp_path / "runs/none"]) == []
    with pytest.raises(UserError, match=rf"no run in .*aa; did you mean {a}\?"):
        find_runs([tmp_path / "runs/aa"])


def test_a_real_run_is_shown_as_done_with_all_its_records(tmp_path: Path) -> None:
    run = start_run(small(write_text(tmp_path)), tmp_path / "run")
    train(run, silent, threads=1)
    feed = Feed([tmp_path])
    facts, news = messages(feed)
    (fact,) = facts["runs"]  # type: ignore[misc]
    assert (fact["state"], fact["steps"], fact["tokens"]) == ("done", 6, 16)
    records = news["records"]
    assert isinstance(records, list) and {r["step"] for r in records if "loss" in r} == {1, 2, 4, 6}
    assert any("val_loss" in r for r in records) and any("sample" in r for r in records)
    assert messages(feed) == []


def test_a_dead_run_has_stopped_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "my run", records=3, steps=10)
    feed = Feed([tmp_path])
    with locked(folder / "lock", ""):
        (fact,) = messages(feed)[0]["runs"]  # type: ignore[misc]
        assert fact["state"] == "running"
    (fact,) = messages(feed)[0]["runs"]  # type: ignore[misc]
    assert fact["state"] == "stopped"
    assert fact["go_on"] == f"tinygrad-llm train --resume --out '{folder}'"


def test_what_is_left_to_do_decides_whether_a_run_is_done(tmp_path: Path) -> None:
    last = {"step": 10, "loss": 1.0}
    for settings, more, state in (({}, {}, "stopped"), ({}, {"val_loss": 1.0}, "done"),
                                  ({}, {"end": "done"}, "done"), ({}, {"end": "Ctrl-C"}, "stopped"),
                                  ({"final_eval_batches": 0}, {}, "done")):
        folder = write_run(tmp_path / str(len(list(tmp_path.iterdir()))), steps=10, **settings)
        assert facts_of(folder, False, {**last, **more})["state"] == state, (settings, more)


def test_a_model_from_elsewhere_is_no_run_to_watch(tmp_path: Path) -> None:
    (write_run(tmp_path / "imported") / "pretrained").mkdir()
    assert find_runs([tmp_path]) == []


def test_a_folder_that_cannot_be_read_hides_no_other(tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    a, is_file = write_run(tmp_path / "a"), Path.is_file
    write_run(tmp_path / "secret")

    def refused(path: Path) -> bool:
        if path.parent.name == "secret":
            raise PermissionError(13, "Permission denied")
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refused)
    assert find_runs([tmp_path]) == [a]


def test_new_runs_appear_and_deleted_ones_go(tmp_path: Path) -> None:
    write_run(tmp_path / "runs/a")
    feed = Feed([tmp_path / "runs"])
    assert len(messages(feed)[0]["runs"]) == 1  # type: ignore[arg-type]
    b = write_run(tmp_path / "runs/b", records=1)
    facts, news = messages(feed)
    assert len(facts["runs"]) == 2 and news["run"] == str(b)  # type: ignore[arg-type]
    (b / "config.toml").unlink()
    assert [fact["name"] for fact in messages(feed)[0]["runs"]] == [  # type: ignore[attr-defined]
        str(tmp_path / "runs/a")]


def test_many_records_come_in_several_messages_the_first_of_which_begins_anew(
        tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", records=AT_ONCE + 1)
    feed = Feed([folder])
    assert [len(m["records"]) for m in messages(feed)[1:]] == [  # type: ignore[arg-type]
        AT_ONCE, 1]
    (folder / "metrics.jsonl").write_text('{"step": 1}\n')  # resumed from an earlier step
    *_, news = messages(feed)
    assert news["anew"] is True and news["records"] == [{"step": 1}]
    (folder / "metrics.jsonl").write_text("")
    *_, news = messages(feed)
    assert news["anew"] is True and news["records"] == []


def test_a_run_whose_settings_are_damaged_does_not_hide_the_others(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a")
    write_run(tmp_path / "b")
    (folder / "config.toml").write_text("no = [toml")
    states = [fact["state"] for fact in messages(Feed([tmp_path]))[0]["runs"]]  # type: ignore[attr-defined]
    assert states == ["damaged", "stopped"]
    assert "config.toml" in facts_of(folder, False, {})["why"]
