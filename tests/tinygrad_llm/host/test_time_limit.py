import re
import signal
import threading
import time

import pytest

from tinygrad_llm.host.time_limit import time_limit

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer of this kind")


class TooSlow(Exception):
    pass


def test_python_and_re_are_interrupted() -> None:
    start = time.process_time()
    with pytest.raises(TooSlow), time_limit(0.05, TooSlow()):
        while True:
            pass
    with pytest.raises(TooSlow), time_limit(0.05, TooSlow()):
        re.match("(a|aa)+$", "a" * 60 + "b")
    assert time.process_time() - start < 5


def test_nothing_is_left_behind() -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    with time_limit(5, TooSlow()):
        assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)
    assert signal.getsignal(signal.SIGVTALRM) is before


def test_waiting_does_not_count() -> None:
    with time_limit(0.02, TooSlow()):
        time.sleep(0.1)


def test_another_thread_is_not_limited() -> None:
    done: list[int] = []

    def work() -> None:
        with time_limit(0.001, TooSlow()):
            done.append(sum(range(10**6)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [499999500000]
