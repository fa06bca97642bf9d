"""Work that may be stopped at any moment, by one process or by several."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mixed_corpus import settings

from tinygrad_llm.data.build import resumable
from tinygrad_llm.data.build.run import build
from tinygrad_llm.host.errors import UserError


def test_a_folder_in_use_is_refused(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    (tmp_path / "built" / "work").mkdir(parents=True)
    with (resumable.locked(tmp_path / "built" / "work"),
          pytest.raises(UserError, match="at work in")):
        build(settings(folder), tmp_path / "built", workers=1, progress=False)


def test_a_worker_that_dies_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "WORTH_PROCESSES", 0)
    tasks = [Task(tmp_path / str(i), i) for i in range(3)]
    with resumable.Crew(2, progress=False) as crew:
        crew.run("dying", die_at_one, tasks[:1])  # alone: in this process
        with pytest.raises(UserError, match="give the same command again"):
            crew.run("dying", die_at_one, tasks)
    assert (tmp_path / "0").exists()


class Task:
    def __init__(self, out: Path, size: int) -> None:
        self.out, self.size = out, size


def die_at_one(task: Task) -> None:
    if task.size == 1:
        os._exit(1)
    task.out.write_bytes(b"")


def test_a_name_stands_for_all_that_it_is_made_of() -> None:
    assert resumable.key_of(1, "a", [None, True]) == resumable.key_of(1, "a", (None, True))
    assert len(resumable.key_of()) == 20 and int(resumable.key_of(), 16) >= 0
    assert resumable.key_of({"b": 1, "a": 2}) == resumable.key_of({"a": 2, "b": 1})
    keys = [resumable.key_of(*parts) for parts in ([], [None], [1], ["1"], [1, 2], [[1, 2]],
                                                   ["\ud800"])]
    assert len(set(keys)) == len(keys)
    assert resumable.key_of("x", 0.5) == "44a224bcff25e828a810", "work of before is found again"


def test_only_what_is_missing_is_done(tmp_path: Path) -> None:
    tasks = [Task(tmp_path / str(i), 10) for i in range(4)]
    tasks[2].out.write_text("done before")
    called = []

    def do(task: Task) -> None:
        called.append(task)
        task.out.write_text("now")

    with resumable.Crew(1, progress=False) as crew:
        crew.run("working", do, tasks)
        crew.run("working", do, tasks)
    assert called == [tasks[0], tasks[1], tasks[3]] and tasks[2].out.read_text() == "done before"


def test_few_bytes_are_not_worth_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [Task(tmp_path / str(i), 10) for i in range(2)]
    with resumable.Crew(2, progress=False) as crew:
        crew.run("working", write_process, tasks)
        assert crew.pool is None and {task.out.read_text() for task in tasks} == {str(os.getpid())}
        for task in tasks:
            task.out.unlink()
        monkeypatch.setattr(resumable, "WORTH_PROCESSES", 20)
        crew.run("working", write_process, tasks)
        assert crew.pool is not None and str(os.getpid()) not in {
            task.out.read_text() for task in tasks}
    assert crew.pool is None


def write_process(task: Task) -> None:
    task.out.write_text(str(os.getpid()))


def test_the_first_error_ends_the_rest_and_keeps_what_is_done(tmp_path: Path) -> None:
    tasks = [Task(tmp_path / str(i), 10) for i in range(3)]

    def do(task: Task) -> None:
        if task is tasks[1]:
            raise UserError("cannot read it")
        task.out.write_text("")

    with resumable.Crew(1, progress=False) as crew, pytest.raises(UserError, match="cannot read"):
        crew.run("working", do, tasks)
    assert [task.out.exists() for task in tasks] == [True, False, False]


@pytest.mark.parametrize("workers", [0, -1])
def test_a_crew_has_workers(workers: int) -> None:
    with pytest.raises(UserError, match=rf"workers must be at least 1, got {workers}; leave it"):
        resumable.Crew(workers)
    assert resumable.Crew().workers >= 1


def test_stale_results_are_removed_by_their_names(tmp_path: Path) -> None:
    for name in ("a.json", "a.rows", "b.json", "b.rows", ".a.json.5f.tmp", "ab.json"):
        (tmp_path / name).write_text("")
    resumable.remove_stale(tmp_path, {"a"})
    assert sorted(os.listdir(tmp_path)) == ["a.json", "a.rows"]
    resumable.remove_stale(tmp_path / "absent", {"a"})


def test_a_lock_is_free_again_after_the_block(tmp_path: Path) -> None:
    for _ in range(2):
        with resumable.locked(tmp_path):
            assert (tmp_path / "lock").exists()
