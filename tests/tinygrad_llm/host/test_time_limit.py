import re
import signal
import threading
import time

import pytest

from tinygrad_llm.host.time_limit import TimeLimit

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer of this kind")


class TooSlow(Exception):
    pass


def test_python_and_re_are_interrupted() -> None:
    start = time.process_time()
    with pytest.raises(TooSlow), TimeLimit(0.05, TooSlow()):
        while True:
            pass
    with pytest.raises(TooSlow), TimeLimit(0.05, TooSlow()):
        re.match("(a|aa)+$", "a" * 60 + "b")
    assert time.process_time() - start < 5


def test_no_timer_is_left_behind() -> None:
    limit = TimeLimit(5, TooSlow())
    for _ in range(2):
        with limit:
            assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 0
        assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)


def test_each_block_raises_its_own_error() -> None:
    other = TimeLimit(0.05, KeyError("x"))
    with TimeLimit(0.05, TooSlow()):
        pass
    with pytest.raises(KeyError), other:
        while True:
            pass


def test_waiting_does_not_count() -> None:
    with TimeLimit(0.02, TooSlow()):
        time.sleep(0.1)


def test_another_thread_is_not_limited() -> None:
    done: list[int] = []

    def work() -> None:
        with TimeLimit(0.001, TooSlow()):
            done.append(sum(range(10**6)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [499999500000]
