"""Profiles: `HYPOTHESIS_PROFILE=dev|ci|intense pytest`, fewer draws without; what tests share.

A run of more than a file takes a process for each core. `pytest -m long` runs what is left out for
its time. `TINYGRAD_LLM_THREADS=4 pytest` runs every test in a block of 4 workers, and cuts what is
small, but for tests marked as `uncut`.
"""

import os
import signal
from collections import Counter
from collections.abc import Iterator

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes: a core for each
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch's, an oracle

from autograd.testing.plugin import load_profile

load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
if "HYPOTHESIS_PROFILE" not in os.environ:
    from hypothesis import settings

    settings.register_profile("quick", settings.get_profile("dev"), max_examples=4)
    settings.load_profile("quick")


def pytest_configure(config: pytest.Config) -> None:
    """Let tests pass where BLAS cannot be held to one thread, as Apple's, and heed Ctrl-C.

    A shell that starts a job in the background, and nohup, may have it and its children ignore
    signals.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGHUP", "SIGTERM"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    config.addinivalue_line("filterwarnings", "ignore:BLAS cannot be held:RuntimeWarning")


FIRST = {
    "test_pages_that_would_stall_the_parser_are_refused": 3,
    "test_hostile_pages_take_little_time": 5,
    "test_large_pages_of_people_are_read": 4,
    "test_no_text_takes_quadratic_time": 1,
    "test_no_text_takes_more_than_linear_time": 1,
    "test_a_giant_word_is_learnt_from_and_encoded": 4,
    "test_a_giant_word_is_encoded": 3,
    "test_a_giant_word_is_decoded": 2,
    "test_a_wrong_pair_is_refuted": 3,
    "test_a_rule_that_is_wrong_for_some_inputs_alone_is_caught": 6,
    "test_signals_save_and_say_how_to_go_on": 3,
}
"""Of tests whose cases take long one by one: how many of them are not marked `long`."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the other cases of these tests."""
    seen: Counter[str] = Counter()
    for item in items:
        test = item.nodeid.partition("[")[0]
        seen[test] += 1
        if seen[test] > FIRST.get(test.rpartition("::")[2], seen[test]):
            item.add_marker("long")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes run the tests: one for each core, none for a file or a debugger."""
    if any(".py" in argument for argument in config.args) or config.getoption("usepdb"):
        return 0
    available = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(available(0)) if available else os.cpu_count() or 1


@pytest.fixture(autouse=True)
def clean_registry() -> Iterator[None]:
    """Forget the ops that a test defines."""
    from autograd import registry

    before = dict(registry)
    yield
    registry.clear()
    registry.update(before)


@pytest.fixture(autouse=True)
def on_workers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where TINYGRAD_LLM_THREADS is set, cut the test's work into pieces, for as many threads."""
    if not os.environ.get("TINYGRAD_LLM_THREADS"):
        yield
        return
    from tinygrad_llm.host import threads

    small = {"BLOCK_BYTES": 256, "_WORTH_HANDING_OUT": 512, "_WORTH_A_SPLIT": 64, "_PIECE": 2}
    with pytest.MonkeyPatch.context() as patch, threads.workers():
        if request.node.get_closest_marker("uncut") is None:
            for name, value in small.items():
                patch.setattr(threads, name, value)
        patch.delenv("TINYGRAD_LLM_THREADS")  # blocks of the tests' own have the usual number
        yield
