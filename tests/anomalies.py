"""Anomalies provoked on purpose, and the test files written for them, run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autograd import Tensor
from autograd.tape.anomaly import AnomalyError, detect_anomaly
from autograd.tensor import STATE

ROOT = Path(__file__).parents[1]


def leaf(x: Any, dtype: Any = "float64") -> Tensor:
    return Tensor(np.array(x, dtype=dtype), requires_grad=True)


def found(f: Callable[[], Any], folder: Path, **options: Any) -> AnomalyError:
    with pytest.raises(AnomalyError) as caught, detect_anomaly(folder, **options):
        f()
    assert STATE.watch is None
    return caught.value


def run_file(error: AnomalyError, mend: str = "") -> tuple[int, str]:
    """Run the written test in a process of its own, after `mend` has been executed there."""
    assert error.file is not None, str(error)
    code = f"import sys, pytest\n{mend}\nsys.exit(pytest.main(['-q', '-W', 'error', sys.argv[1]]))"
    done = subprocess.run([sys.executable, "-c", code, str(error.file)], cwd=error.file.parent,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
                          capture_output=True)
    return done.returncode, done.stdout + done.stderr


def fails(error: AnomalyError) -> str:
    """Execute the written test here: it must fail by its assertion, not by anything else."""
    assert error.file is not None, str(error)
    source, names = error.file.read_text(), {"__name__": "written"}
    exec(compile(source, str(error.file), "exec"), names)
    (test,) = [f for name, f in names.items() if name.startswith("test_")]
    with pytest.raises(AssertionError):
        test()  # type: ignore[operator]
    return source.partition("import annotations")[2]  # without the story, which quotes this file
