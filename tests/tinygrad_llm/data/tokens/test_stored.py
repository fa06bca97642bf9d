"""Numbers in a file: indexed as an array, and a file that is not what it was is an error."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.data.tokens import stored
from tinygrad_llm.data.tokens.stored import StoredArray, reading
from tinygrad_llm.host.errors import UserError

U2 = np.dtype("<u2")
NUMBERS = np.random.default_rng(0).integers(0, 2**16, 30_000).astype(U2)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stored") / "numbers.bin"
    NUMBERS.tofile(path)
    return path


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.bin"
    NUMBERS.tofile(path)
    os.utime(path, (1, 1))
    return path


PLACES = st.integers(-len(NUMBERS), len(NUMBERS) - 1)


@given(st.one_of(PLACES, st.slices(len(NUMBERS)), st.lists(st.lists(PLACES, min_size=3, max_size=3),
                                                          max_size=5)))
def test_it_is_indexed_as_an_array(file: Path, key: Any) -> None:
    array = StoredArray(file, U2, len(NUMBERS))
    key = np.array(key, np.int64).reshape(-1, 3) if isinstance(key, list) else key
    found, expected = array[key], NUMBERS[key]
    assert np.array_equal(found, expected) and np.shape(found) == np.shape(expected)
    assert found.dtype == U2


def test_windows_far_apart_are_read_alone(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, spans = StoredArray._read, []

    def noted(self: StoredArray, asked: Any) -> Any:
        spans.extend(asked)
        return read(self, asked)

    monkeypatch.setattr(StoredArray, "_read", noted)
    places = np.array([20_000, 3, 20_005])[:, None] + np.arange(64)
    assert np.array_equal(StoredArray(file, U2, len(NUMBERS))[places], NUMBERS[places])
    assert spans == [(3, 64), (20_000, 69)]


def test_the_whole_and_its_largest(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "CHUNK", 7_000)
    array = StoredArray(file, U2, len(NUMBERS))
    assert np.array_equal(np.asarray(array), NUMBERS) and array.max() == NUMBERS.max()
    assert array.shape == (30_000,) and array.nbytes == 60_000
    with pytest.raises(ValueError, match="without being copied"):
        np.array(array, copy=False)


@pytest.mark.parametrize("key", [30_000, -30_001, [0, 30_000]])
def test_positions_that_are_not_there(file: Path, key: Any) -> None:
    with pytest.raises(IndexError, match=r"must be in \[-30000, 30000\)"):
        StoredArray(file, U2, len(NUMBERS))[key]
    with pytest.raises(IndexError, match="whole numbers, got float64"):
        StoredArray(file, U2, len(NUMBERS))[[0.5]]


def cut(path: Path) -> None:
    os.truncate(path, 1000)


def replaced(path: Path) -> None:
    other = path.with_suffix(".other")
    NUMBERS[::-1].tofile(other)
    os.replace(other, path)


def rewritten(path: Path) -> None:
    with open(path, "r+b") as opened:
        opened.write(b"\0\0")


def longer(path: Path) -> None:
    with open(path, "ab") as opened:
        opened.write(b"\0\0")


CHANGES: dict[Callable[[Path], None], str] = {
    os.unlink: "No such file.*put it back as it was and go on with --resume",
    cut: "has changed while it was in use: it had 60000 bytes and has 1000;",
    longer: "has 60002;", replaced: "has 60000, other ones;", rewritten: "has 60000, other ones;"}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_file_that_changes_is_an_error(own: Path, change: Callable[[Path], None]) -> None:
    array = StoredArray(own, U2, len(NUMBERS))
    assert array[5] == NUMBERS[5]
    change(own)
    for key in (5, slice(None), [1, 29_999]):
        with pytest.raises(UserError, match=f"numbers.bin:? .*{CHANGES[change]}" if change is not
                           os.unlink else f"numbers.bin: {CHANGES[change]}"):
            array[key]
    assert not reading


@pytest.mark.parametrize("change", [cut, rewritten], ids=lambda change: change.__name__)
def test_between_the_opening_and_the_reading_too(own: Path, change: Callable[[Path], None],
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """The race in which a mapped file would end the process."""
    array, fill = StoredArray(own, U2, len(NUMBERS)), stored._fill

    def late(file: Any, start: int, numbers: Any) -> bool:
        assert reading[get_ident()] == own
        change(own)
        return fill(file, start, numbers)

    monkeypatch.setattr(stored, "_fill", late)
    with pytest.raises(UserError, match="has changed while it was in use"):
        array[29_000:]


@pytest.mark.parametrize("count", [29_999, 30_001])
def test_another_size_than_expected(own: Path, count: int) -> None:
    with pytest.raises(UserError, match=f"has 60000 bytes, expected {2 * count}"):
        StoredArray(own, U2, count)
    with pytest.raises(UserError, match="No such file"):
        StoredArray(own.with_name("other"), U2, count)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    array = StoredArray(tmp_path / "empty", U2, 0)
    assert len(array[:]) == 0 and len(array) == 0
