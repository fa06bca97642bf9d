"""The machine: its cores, its memory, and a C library that can be made to keep freed memory."""

from __future__ import annotations

import ctypes
import math
import os
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

THREADS_VARIABLE = "TINYGRAD_LLM_THREADS"

_CGROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Return the number of cores that this process may use: its affinity and its container's."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _container_cores()
    return max(1, min(cores or 1, math.ceil(quota))) if quota > 0 else cores or 1


def _container_cores() -> float:
    """Return how many cores' time the container has, 0 where it has no limit or is none."""
    for names in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):  # versions 2, 1
        try:
            quota, period = " ".join((_CGROUPS / name).read_text() for name in names).split()
            return max(0.0, int(quota) / int(period))  # version 1 has -1 for no limit
        except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max" for no limit
            continue
    return 0.0


@cache
def keep_freed_memory() -> bool:
    """Have the C library keep freed memory for the next array; return whether it does.

    A training step allocates and frees the same sizes again and again. glibc gives every block over
    128 KiB back to the system and asks for it anew, and the system hands out pages one fault at a
    time, zeroed: a third of a small step. From the first call on, blocks up to 32 MiB (the most
    that glibc allows) are kept. Threads other than the first have heaps of 64 MiB, which glibc
    gives back as soon as they are empty, unless it is to keep as much in reserve ("top pad"). Other
    C libraries are left alone. See mallopt(3), and heap_trim in glibc's malloc/arena.c.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has no mallopt
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # the names' values in malloc.h
    return bool(mallopt(mmap_threshold, 32 << 20) and mallopt(trim_threshold, 2**31 - 1)
                and mallopt(top_pad, 64 << 20))


def memory_of_machine() -> int:
    """Return the bytes of memory that this process may use: the machine's, or its container's."""
    if sys.platform == "win32":
        status = (ctypes.c_ulonglong * 8)(64)  # MEMORYSTATUSEX, which begins with its size
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status[1])
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # versions 2 and 1
        with suppress(OSError, ValueError):  # no such file, or "max" for no limit
            limits.append(int((_CGROUPS / name).read_text()))
    return min(limits)


class Memory(NamedTuple):
    """Bytes of memory that a process takes, as the system counts them: now, and the most so far."""

    now: int
    most: int


def memory_of_process() -> Memory:
    """Return the resident memory of this process, once glibc has given back what it has freed."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # of musl
            ctypes.CDLL(None).malloc_trim(0)
    return _resident()


def resident_memory() -> int:
    """Return the bytes of memory that this process takes now, in microseconds: glibc keeps its."""
    if sys.platform == "darwin":
        info = (ctypes.c_uint64 * 12)()  # proc_taskinfo (sys/proc_info.h): virtual, resident, ...
        if ctypes.CDLL(None).proc_pidinfo(os.getpid(), 4, ctypes.c_uint64(0), info, 96) == 96:
            return int(info[1])
    return _resident().now


def _resident() -> Memory:
    if sys.platform == "win32":
        counters = (ctypes.c_size_t * 9)(72)  # PROCESS_MEMORY_COUNTERS, which begins with its size
        ctypes.windll.psapi.GetProcessMemoryInfo(ctypes.c_void_p(-1), ctypes.byref(counters), 72)
        return Memory(counters[2], counters[1])
    with suppress(OSError, IndexError):
        # Not ru_maxrss: on Linux it begins at the size of the process that started this one.
        status = Path("/proc/self/status").read_text()
        now, most = (int(status.partition(name)[2].split()[0]) for name in ("VmRSS:", "VmHWM:"))
        return Memory(1024 * now, 1024 * most)
    import resource

    command = ["ps", "-o", "rss=", "-p", str(os.getpid())]
    now = 1024 * int(subprocess.run(command, capture_output=True, check=True).stdout)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
    return Memory(now, max(now, most if sys.platform == "darwin" else 1024 * most))
