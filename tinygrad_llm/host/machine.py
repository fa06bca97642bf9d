"""The machine: its cores, and a C library that can be made to keep freed memory."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from functools import cache
from pathlib import Path

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
