"""BLAS held to one thread while blocks are open, and set back after the last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tinygrad_llm.host import threads as host_threads
from tinygrad_llm.host.blas import Blas, loaded_blas, warn_of_free_blas
from tinygrad_llm.host.machine import THREADS_VARIABLE
from tinygrad_llm.host.threads import each, workers

BLAS = loaded_blas()


@pytest.fixture(autouse=True)
def on_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the place of the fixture that runs other tests in a block."""
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)


def blas_threads() -> list[int]:
    return [library.num_threads for library in BLAS.controller.lib_controllers]


def set_blas(threads: int) -> None:
    for library in BLAS.controller.lib_controllers:
        library.set_num_threads(threads)
    BLAS.disclaim()


@pytest.fixture
def three() -> Iterator[None]:
    """BLAS on three threads, so that one thread is a difference on any machine."""
    before = blas_threads()
    set_blas(3)
    if set(blas_threads()) != {3}:
        pytest.skip("this BLAS does not take a number of threads")
    yield
    assert set(blas_threads()) == {3}
    set_blas(before[0])


def meet(*names: str) -> Callable[[], str]:
    """Return a function that returns once as many threads have called it as there are names."""
    barrier = threading.Barrier(len(names), timeout=10)

    def arrive() -> str:
        return names[barrier.wait()]

    return arrive


class Wrong(Exception):
    pass


def test_blas_is_held_to_one_thread_and_set_back(three: None) -> None:
    with workers(2):
        assert set(blas_threads()) == {1}
        with workers(2):
            assert each(2, lambda i: set(blas_threads())) == [{1}] * 2
        assert set(blas_threads()) == {1}
    assert set(blas_threads()) == {3}
    with pytest.raises(Wrong), workers(2):
        raise Wrong


def test_a_limit_of_the_users_own_is_set_back(three: None) -> None:
    with BLAS.controller.limit(limits=2):
        with workers(2):
            assert set(blas_threads()) == {1}
        assert set(blas_threads()) == {2}
    assert set(blas_threads()) == {3}


@pytest.mark.parametrize("first_out", [0, 1])
def test_the_last_of_two_threads_sets_blas_back(three: None, first_out: int) -> None:
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        threads = [one, other]
        blocks = [workers(2), workers(2)]
        for thread, block in zip(threads, blocks, strict=True):
            assert thread.submit(block.__enter__).result() == 2
            assert set(blas_threads()) == {1}
        for i, held in ((first_out, {1}), (1 - first_out, {3})):
            threads[i].submit(blocks[i].__exit__, None, None, None).result()
            assert set(blas_threads()) == held


def generator(threads: int) -> Iterator[list[int]]:
    with workers(threads):
        while True:
            yield each(3, lambda i: i)


def test_generators_may_end_in_any_order(three: None) -> None:
    one, other = generator(2), generator(3)
    assert next(one) == next(other) == [0, 1, 2]
    one.close()
    assert next(other) == each(3, lambda i: i) == [0, 1, 2]
    assert set(blas_threads()) == {1}
    other.close()
    assert host_threads._current_pool() is None


def test_a_blas_that_cannot_be_held_means_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = Blas()
    unknown.controller = unknown.controller.select(user_api="none")
    monkeypatch.setattr(host_threads, "loaded_blas", lambda: unknown)
    warn_of_free_blas.cache_clear()
    with pytest.warns(RuntimeWarning, match="using one thread") as warned, workers(4) as threads:
        assert threads == 1
    assert warned[0].filename == __file__
    with workers(4) as threads:  # a second warning would be an error
        assert threads == 1
        assert each(3, lambda i: i) == [0, 1, 2]
    warn_of_free_blas.cache_clear()


def test_a_blas_that_counts_for_each_thread_is_held_in_each(
        monkeypatch: pytest.MonkeyPatch) -> None:
    class Library(threading.local):  # as OpenBLAS is that was built with OpenMP
        num_threads = 5

        def set_num_threads(self, number: int) -> None:
            self.num_threads = number

        def info(self, **_: Any) -> dict[str, int]:
            return {"num_threads": self.num_threads}

    library, blas, arrive = Library(), Blas(), meet("a", "b", "c")
    blas.controller = blas.controller._from_controllers([library])
    monkeypatch.setattr(host_threads, "loaded_blas", lambda: blas)
    with workers(3):
        assert each(3, lambda i: (arrive(), library.num_threads)[1]) == [1, 1, 1]
    assert library.num_threads == 5


def test_a_generator_may_end_in_another_thread(three: None) -> None:
    one = generator(2)
    assert next(one) == [0, 1, 2]
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(next, one).result() == [0, 1, 2]
        thread.submit(one.close).result()
    assert each(3, lambda i: i) == [0, 1, 2]


def test_a_held_blas_is_set_back_by_the_outermost_block_only(three: None) -> None:
    with BLAS.held() as held:
        with BLAS.held():
            assert set(blas_threads()) == {1}
        assert held and BLAS.blocks == 1 and set(blas_threads()) == {1}
    assert BLAS.blocks == 0 and set(blas_threads()) == {3}


def test_there_is_one_blas_in_a_process() -> None:
    assert loaded_blas() is BLAS and BLAS.controller.lib_controllers
