"""Pools of processes: what they are spared of their parent, and what cannot be sent to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from tinygrad_llm.host.processes import Processes, _main_left_out, needs_main

ROOT = Path(__file__).parents[3]


def state_of_process() -> list[Any]:
    main = sys.modules["__main__"]
    return [_begun, signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
            getattr(main, "__file__", None), os.getpid()]


_begun = "not begun"


def begin(word: str) -> None:
    global _begun
    _begun = word


def test_processes_begin_without_the_callers_script_and_heed_no_interrupt() -> None:
    before = dict(vars(sys.modules["__main__"]))
    with Processes(2, begin, "begun") as pool:
        begun, ignores, file, process = pool.submit(state_of_process).result()
        assert list(pool.map(len, ["a", "bcd"])) == [1, 3]
    assert (begun, ignores, file) == ("begun", True, None) and process != os.getpid()
    assert vars(sys.modules["__main__"]) == before


def test_threads_leave_the_callers_script_as_it_was() -> None:
    main = sys.modules["__main__"]
    before = dict(vars(main))
    during: list[bool] = []
    first_is_in, second_came = threading.Event(), threading.Event()

    def first() -> None:
        with _main_left_out():
            first_is_in.set()
            second_came.wait(0.2)  # as long as it takes to start a process

    def second() -> None:
        first_is_in.wait()
        with _main_left_out():
            second_came.set()
            one.join()
            during.append("__file__" in vars(main))

    one, other = threading.Thread(target=first), threading.Thread(target=second)
    for thread in (one, other):
        thread.start()
    for thread in (one, other):
        thread.join()
    assert during == [False] and vars(main) == before


def test_an_error_within_the_block_drops_what_is_not_begun() -> None:
    with pytest.raises(KeyboardInterrupt), Processes(1) as pool:
        futures = [pool.submit(signal.sigtimedwait, [], 0.05) for _ in range(500)]
        raise KeyboardInterrupt
    assert futures[-1].cancelled()


def test_what_the_script_defines_is_found() -> None:
    def in_main(code: str) -> Any:
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(code, space)  # as a script would
        return space["it"]

    mine = in_main("class it: pass")
    function = in_main("def it(): pass")
    assert isinstance(function, FunctionType)
    for value in (mine, mine(), function, {"a": [1, (mine(),)]}, lambda: 0, sys.stdout):
        assert needs_main(value)
    for value in ("__main__", {"__main__": b"__main__"}, len, Path, [Path("a"), 3.0]):
        assert not needs_main(value)


def test_a_script_without_a_main_guard_encodes_and_counts(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("""
print("running")
from tinygrad_llm.text import batch
from tinygrad_llm.text.training import pretoken_counts
from tinygrad_llm.text.training.bpe import train_bpe
texts = ["to be or not to be " * 200, "that is the question " * 200]
tokenizer = train_bpe(texts, 270, progress=False)
batch.GROUP = pretoken_counts.BATCH = 1000
pretoken_counts.ALONE = 0
print(batch.encode_batch(tokenizer, texts, workers=2) == [tokenizer.encode(text) for text in texts])
print(pretoken_counts.count_pretokens(texts, workers=2)[" not"])
class Upper:
    def __call__(self, text): return text.upper()
tokenizer.normalizer = Upper()
print(batch.encode_batch(tokenizer, texts, workers=2) == [tokenizer.encode(text) for text in texts])
""")
    found = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, text=True, timeout=60,
                           capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (found.stdout.split(), found.stderr) == (["running", "True", "200", "True"], "")


def test_pressing_ctrl_c_again_and_again_ends_it_once(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("""
import os, signal, threading, time
from tinygrad_llm.host.processes import Processes
def press():
    for _ in range(6):
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)
try:
    with Processes(2) as pool:
        list(pool.map(time.sleep, [0.2, 0.2]))  # both have started
        threading.Thread(target=press).start()
        futures = [pool.submit(time.sleep, 1) for _ in range(9)]
        for future in futures:
            future.result()
except KeyboardInterrupt:
    print("interrupted", futures[-1].cancelled())
""")
    found = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, text=True, timeout=20,
                           capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (found.stdout.split(), found.stderr, found.returncode) == (["interrupted", "True"],
                                                                      "", 0)
