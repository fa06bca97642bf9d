"""Signals that ask for an end: noted, answered at once, put back as they were."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from tinygrad_llm.host.stop_signals import NAMES, stop_signals

NUMBERS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_is_noted_and_answered_and_so_are_later_ones(
        number: int, capfd: pytest.CaptureFixture[str]) -> None:
    before = [signal.getsignal(n) for n in NUMBERS]
    with stop_signals("saving", "still saving") as stop:
        assert not stop
        os.kill(os.getpid(), number)
        assert stop and stop.signal == number
        name = signal.Signals(number).name
        assert capfd.readouterr().err == f"\n{name}: saving\n"
        for later in NUMBERS:
            os.kill(os.getpid(), later)
        assert stop.signal == number, "the first one counts"
        assert capfd.readouterr().err.count("still saving") == len(NUMBERS)
    assert [signal.getsignal(n) for n in NUMBERS] == before


def test_an_ignored_hangup_stays_ignored() -> None:
    if not hasattr(signal, "SIGHUP"):
        pytest.skip("this system has none")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals("", "") as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop, "nohup"
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_takes_no_signals() -> None:
    before = [signal.getsignal(n) for n in NUMBERS]
    seen: list[bool] = []

    def body() -> None:
        with stop_signals("", "") as stop:
            seen.extend([bool(stop), [signal.getsignal(n) for n in NUMBERS] == before])

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [False, True]
