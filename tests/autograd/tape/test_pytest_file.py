"""The written file fails, and passes once the op is mended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from anomalies import fails, found, leaf, run_file

import autograd as ag
from autograd import log, primitive, where
from autograd.primitive import Primitive
from autograd.tensor import STATE


def trap() -> None:
    x = leaf([[0.0, 2.0], [3.0, 4.0]])
    where(x.data > 0, log(x), 0.0).sum().backward()


@pytest.mark.long
def test_the_file_fails_and_passes_once_the_op_is_mended(tmp_path: Path) -> None:
    error = found(lambda: ag.exp(leaf([1.0, 800.0])), tmp_path)
    code, said = run_file(error)
    assert code == 1 and "1 failed" in said and "assert" in said, said
    mend = ("import numpy as np\nfrom autograd import exp\n"
            "exp.forward = lambda x: np.exp(np.minimum(x, 700))")
    code, said = run_file(error, mend)
    assert code == 0, said
    error = found(trap, tmp_path, inf=False)
    assert run_file(error)[0] == 1
    mend = ("from autograd import log\n"
            "log.vjp(lambda g, x: g / (x + (x == 0)))")
    code, said = run_file(error, mend)
    assert code == 0, said


def test_an_op_that_cannot_be_imported_is_embedded(tmp_path: Path) -> None:
    @primitive
    def inverse(x, /, *, power=1):  # type: ignore[no-untyped-def]
        return 1 / x**power

    @inverse.vjp
    def _(g, x, power):  # type: ignore[no-untyped-def]
        return -power * g / x ** (power + 1)

    assert isinstance(inverse, Primitive)
    error = found(lambda: inverse(leaf([1.0, 0.0]), power=2), tmp_path)
    source = fails(error)
    assert "def inverse(x" in source and "power=2" in source
    error = found(lambda: inverse(leaf([1.0, 1e-200])).sum().backward(), tmp_path)
    assert "@inverse.vjp" in fails(error)


def test_what_cannot_be_written_is_reported_and_does_not_hide_the_anomaly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = found(lambda: log(leaf([-1.0])), tmp_path / "file")
    assert error.file is None and "no test was written:" in str(error)
    assert error.op == "log" and STATE.watch is None


def test_options_and_integer_arguments_are_written(tmp_path: Path) -> None:
    x = leaf([[1.0, 2.0], [1e308, 3.0], [5.0, 1e307]])
    error = found(lambda: (x * 1.7).sum(axis=(0, 1)), tmp_path)
    source = fails(error)
    assert error.op == "sum" and "axis=(0, 1)" in source
    index = np.array([0, 0, 2])
    error = found(lambda: ag.scatter_add(leaf([1e308, 0.0, 0.0]), index,
                                         leaf([1e308, 0.0, 1.0])), tmp_path)
    assert error.op == "scatter_add" and "x2 = np.array(0)\n" in fails(error)
