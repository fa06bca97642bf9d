"""Files of arrays: read by safetensors, and of the moment at which they were given."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_dtypes import bfloat16
from safetensors.numpy import load, load_file, save, save_file

from tinygrad_llm.host.files import write_in_one_step
from tinygrad_llm.train.folder import arrays
from tinygrad_llm.train.folder.arrays import DTYPES, Snapshot, read_arrays

RNG = np.random.default_rng(0)


def some_arrays() -> dict[str, Any]:
    return {"w": RNG.normal(size=(50, 30)).astype(np.float32), "b": RNG.normal(size=7),
            "t": RNG.normal(size=(6, 4)).astype(np.float32).T, "count": np.array(3),
            "none": np.zeros((0, 5), np.float16), "half": np.ones(3, np.float16),
            "yes": np.array([True, False])}


def same(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    return found.keys() == expected.keys() and all(
        a.dtype == expected[name].dtype and np.array_equal(a, expected[name])
        for name, a in found.items())


def test_the_file_is_what_the_library_reads_and_its_digest_is_known(tmp_path: Path) -> None:
    content, path = some_arrays(), tmp_path / "file"
    snapshot = Snapshot(content)
    write_in_one_step(path, snapshot.parts())
    assert same(load_file(path), content)
    assert snapshot.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(path.read_bytes()) == len(save({n: np.ascontiguousarray(a)
                                               for n, a in content.items()}))


@pytest.mark.parametrize("name", DTYPES)
def test_each_dtype_has_its_name(name: str, tmp_path: Path) -> None:
    array = np.array([0, 1, 1], name)
    content = b"".join(map(bytes, Snapshot({"a": array}).parts()))
    (tmp_path / "file").write_bytes(content)
    theirs = [] if name == "bfloat16" else [*load(content).values()]  # which that lacks
    for found in map(np.asarray, [*theirs, *read_arrays(tmp_path / "file").values()]):
        assert found.dtype == array.dtype and (found == array).all()


def test_a_dtype_that_has_no_place_is_named() -> None:
    with pytest.raises(TypeError, match="a: an array of complex128 has no place"):
        Snapshot({"a": np.zeros(2, np.complex128)})


@given(st.integers(0, 12), st.integers(1, 9))
def test_what_is_not_written_is_copied_before_it_changes(written: int, block: int) -> None:
    """After any number of parts, all arrays change; the file is of before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "BLOCK", 4 * block)
        patch.setattr(arrays, "SMALL", 0)
        content = {"a": np.arange(9, dtype=np.float32), "b": np.arange(5, dtype=np.float32)}
        snapshot = Snapshot(content)
        expected = {name: array.copy() for name, array in content.items()}
        file = b""
        for number, part in enumerate(snapshot.parts()):
            file += part
            if number == written:
                snapshot.settle()
                for array in content.values():
                    array[...] = -1
        assert same(load(file), expected) or number < written


def test_counters_may_change_at_once() -> None:
    count = np.array(3)
    snapshot = Snapshot({"count": count})
    count += 1
    assert load(b"".join(map(bytes, snapshot.parts())))["count"] == 3


def test_arrays_are_read_one_by_one_when_they_are_asked_for(tmp_path: Path) -> None:
    content = some_arrays() | {"bfloat16": np.arange(5).astype(bfloat16)}
    path = tmp_path / "file"
    write_in_one_step(path, Snapshot(content).parts())
    found = read_arrays(path)
    assert {name: (one.shape, one.dtype) for name, one in found.items()} == {
        name: (a.shape, a.dtype) for name, a in content.items()}
    path.unlink()  # what is open is still there
    for _ in range(2):
        assert same({name: np.asarray(one) for name, one in found.items()}, content)


def test_numbers_that_are_not_written_here_are_refused(tmp_path: Path) -> None:
    save_file({"z": np.ones(2, np.complex64)}, tmp_path / "file")
    with pytest.raises(TypeError, match="C64"):
        read_arrays(tmp_path / "file")
