"""The report on a setup: threads, kernels, freed memory, packages, the GPU."""

from __future__ import annotations

import platform
import sys
from types import SimpleNamespace

import pytest

from tinygrad_llm.host import installed
from tinygrad_llm.host.machine import THREADS_VARIABLE, usable_cores

GLIBC = platform.libc_ver()[0] == "glibc"


def finding(name: str) -> str:
    """Return what the doctor found."""
    return next(line for line in installed.describe_setup().splitlines() if line.startswith(name))


def test_the_doctor_tells_of_threads_and_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    blas = {"user_api": "blas", "internal_api": "openblas", "version": "0.3", "num_threads": 4,
            "architecture": "SkylakeX"}
    monkeypatch.setattr("tinygrad_llm.host.installed.threadpool_info", lambda: [blas])
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    assert finding("BLAS").endswith("openblas 0.3, 4 threads, SkylakeX kernels")
    assert f"training uses {usable_cores()} thread" in finding("cores")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert finding("BLAS").endswith("SkylakeX kernels (OPENBLAS_CORETYPE=Haswell is set)")
    monkeypatch.setenv(THREADS_VARIABLE, "3")
    assert "training uses 3 threads, set by TINYGRAD_LLM_THREADS" in finding("cores")
    monkeypatch.setenv(THREADS_VARIABLE, "many")
    assert "must be a whole number from 1, got 'many'" in finding("cores")
    monkeypatch.delenv(THREADS_VARIABLE)
    monkeypatch.setattr("tinygrad_llm.host.installed.threadpool_info", list)
    assert "training uses 1 thread, as BLAS" in finding("cores")
    assert finding("BLAS").endswith("not recognised")


def test_the_doctor_tells_of_freed_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ("keeps it" in finding("freed memory")) == GLIBC
    monkeypatch.setattr(installed, "keep_freed_memory", lambda: False)
    assert "only glibc" in finding("freed memory")


def test_a_gpu_is_named_or_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[object] = [None]
    monkeypatch.setattr(installed.importlib.util, "find_spec", lambda name: found[0])
    assert 'pip install "tinygrad_llm[cuda13]"' in finding("GPU")
    found[0] = object()
    properties = {"name": b"A GPU"}
    runtime = SimpleNamespace(getDeviceProperties=lambda number: properties)
    cupy = SimpleNamespace(__version__="14.0", is_available=lambda: True,
                           cuda=SimpleNamespace(runtime=runtime))
    monkeypatch.setitem(sys.modules, "cupy", cupy)  # type: ignore[arg-type]
    assert finding("GPU").endswith("A GPU, CuPy 14.0")
    cupy.is_available = lambda: False
    assert "CuPy 14.0 finds no usable GPU or driver" in finding("GPU")
    properties.clear()
    cupy.is_available = lambda: True
    assert "CuPy does not work: 'name'" in finding("GPU")


def test_each_row_is_one_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = installed.describe_setup().splitlines()
    assert [row.split()[0] for row in rows[:3]] == ["tinygrad_llm", "autograd", "Python"]
    assert "ours, in" in rows[1] and rows[1].endswith("autograd/__init__.py")
    monkeypatch.setattr(installed, "engine_is_ours", lambda: False)
    assert "ANOTHER PROJECT, in" in finding("autograd")
    width = len("tinygrad_llm")  # the longest name: what is found stands in one column
    assert all(row[width] == " " != row[width + 1] for row in rows)
