"""The cores that may be used, and a C library that keeps freed memory."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinygrad_llm.host import machine
from tinygrad_llm.host.machine import (
    keep_freed_memory,
    memory_of_machine,
    memory_of_process,
    usable_cores,
)

GLIBC = platform.libc_ver()[0] == "glibc"


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    (tmp_path / "cpu").mkdir()
    return tmp_path


@pytest.mark.parametrize("text, cores", [
    ("max 100000", 8), ("150000 100000", 2), ("400000 100000", 4), ("1000 100000", 1),
    ("6400000 100000", 8), ("", 8), ("nonsense", 8), ("1 0", 8), ("1 2 3", 8)])
def test_a_container_of_version_2_limits(groups: Path, text: str, cores: int) -> None:
    (groups / "cpu.max").write_text(text)
    assert usable_cores() == cores


@pytest.mark.parametrize("quota, cores", [("-1", 8), ("250000", 3), ("50000", 1), ("0", 8)])
def test_a_container_of_version_1_limits(groups: Path, quota: str, cores: int) -> None:
    (groups / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (groups / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores() == cores


def test_without_affinity_the_cores_are_counted(
        groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert usable_cores() == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


def test_freed_memory_is_kept_by_glibc_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert keep_freed_memory() == GLIBC
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory.__wrapped__()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: object())  # musl has no mallopt
    assert not keep_freed_memory.__wrapped__()


@pytest.mark.skipif(not GLIBC, reason="other C libraries are left alone")
def test_the_second_step_of_any_thread_gets_its_pages_without_a_fault() -> None:
    script = """
import resource, threading
import numpy as np
from tinygrad_llm.host.machine import keep_freed_memory

def step():
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    arrays = [np.ones(1 << 20) for _ in range(16)]  # 8 MiB each: three heaps of a thread
    return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

def steps():
    faults.append([step() for _ in range(4)])

assert keep_freed_memory()
faults = []
steps()
helper = threading.Thread(target=steps)
helper.start()
helper.join()
for first, *others in faults:
    assert first > 100 and max(others) < first / 20, faults
"""
    env = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}
    subprocess.run([sys.executable, "-c", script], check=True, env=env, timeout=60)


def test_a_container_limits_memory(groups: Path) -> None:
    of_machine = memory_of_machine()
    assert of_machine > 1 << 28
    (groups / "memory.max").write_text("max\n")
    assert memory_of_machine() == of_machine
    (groups / "memory.max").write_text("12345\n")
    assert memory_of_machine() == 12345
    (groups / "memory").mkdir()
    (groups / "memory" / "memory.limit_in_bytes").write_text("9999")
    assert memory_of_machine() == 9999


def test_memory_of_this_process_and_the_most_so_far() -> None:
    before = memory_of_process()
    block = np.ones(1 << 24)  # 128 MiB
    during = memory_of_process()
    del block
    after = memory_of_process()
    assert 0.99 * 2**27 < during.now - before.now < 1.1 * 2**27
    assert after.now < during.now - 0.9 * 2**27
    assert min(during.most, after.most) > 0.99 * during.now  # Linux counts by and by
