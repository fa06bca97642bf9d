import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.data.tokens.stored import StoredArray
from tinygrad_llm.data.tokens.token_file import open_tokens, write_tokens
from tinygrad_llm.host.errors import UserError


@given(st.integers(1, 2**31), st.data())
def test_open_undoes_write(
    tmp_path_factory: pytest.TempPathFactory, vocab_size: int, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "tokens.bin"
    ids = data.draw(st.lists(st.integers(0, vocab_size - 1), min_size=1))
    write_tokens(path, ids, vocab_size)
    assert open_tokens(path)[:].tolist() == ids


@pytest.mark.parametrize(
    ("vocab_size", "dtype", "width"), [(2**16, "uint16", 2), (2**16 + 1, "uint32", 4)]
)
def test_the_bytes_on_the_disk(tmp_path: Path, vocab_size: int, dtype: str, width: int) -> None:
    ids = np.array([1, 0x0203, vocab_size - 1], ">i8")
    write_tokens(tmp_path / "train.bin", ids, vocab_size)
    expected = b"".join(int(i).to_bytes(width, "little") for i in ids)
    assert (tmp_path / "train.bin").read_bytes() == expected
    about = json.loads((tmp_path / "train.json").read_text())
    assert about == {"dtype": dtype, "count": 3, "vocab_size": vocab_size}
    assert sorted(os.listdir(tmp_path)) == ["train.bin", "train.json"]
    assert open_tokens(str(tmp_path / "train.bin")).dtype == np.dtype(dtype).newbyteorder("<")


def test_strided_ids_are_written_in_their_order(tmp_path: Path) -> None:
    write_tokens(tmp_path / "t.bin", np.arange(10, dtype=np.uint16)[::-3], 10)
    assert open_tokens(tmp_path / "t.bin")[:].tolist() == [9, 6, 3, 0]


def test_opened_tokens_stay_on_the_disk(tmp_path: Path) -> None:
    write_tokens(tmp_path / "t.bin", [1, 2], 3)
    tokens = open_tokens(tmp_path / "t.bin")
    assert isinstance(tokens, StoredArray) and tokens.dtype == np.uint16


@pytest.mark.parametrize("ids", [[0, 3], [-1, 0], np.array([[0]]), [0.5], [True]])
def test_other_ids_are_refused(tmp_path: Path, ids: list[int]) -> None:
    with pytest.raises(ValueError, match="ids must be"):
        write_tokens(tmp_path / "t.bin", ids, 3)
    assert os.listdir(tmp_path) == []


def test_nothing_to_write_and_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="longer text"):
        write_tokens(tmp_path / "t.bin", [], 3)
    with pytest.raises(ValueError, match="vocab_size must be in"):
        write_tokens(tmp_path / "t.bin", [0], 0)
    with pytest.raises(ValueError, match=r"end the token file's name in \.bin"):
        write_tokens(tmp_path / "t.json", [0], 1)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("cut", [b"", b"\1", b"\1\0\2\0\3", b"\1\0\2\0\3\0\4\0"])
def test_a_file_of_another_length_is_refused(tmp_path: Path, cut: bytes) -> None:
    write_tokens(tmp_path / "t.bin", [1, 2, 3], 4)
    (tmp_path / "t.bin").write_bytes(cut)
    expected = rf"6 bytes expected, {len(cut)} found; prepare the data again"
    with pytest.raises(UserError, match=expected):
        open_tokens(tmp_path / "t.bin")


@pytest.mark.parametrize("name", ["t.bin", "t.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_tokens(tmp_path / "t.bin", [1, 2, 3], 4)
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match=rf"{name}: No such file .*; prepare the data again"):
        open_tokens(tmp_path / "t.bin")


@pytest.mark.parametrize(
    "about",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b'{"dtype": "uint16"}',
        b'{"dtype": "uint8", "count": 6}',
        b'{"dtype": ["uint16"], "count": 3}',
        b'{"dtype": "uint16", "count": "3"}',
        b'{"dtype": "uint16", "count": 3.0}',
        b'{"dtype": "uint16", "count": -3}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_description_is_refused(tmp_path: Path, about: bytes) -> None:
    write_tokens(tmp_path / "t.bin", [1, 2, 3], 4)
    (tmp_path / "t.json").write_bytes(about)
    with pytest.raises(UserError, match="prepare the data again"):
        open_tokens(tmp_path / "t.bin")


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tokens(tmp_path / "t.bin", [1, 2, 3], 4)

    def fail(old: Path, new: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_tokens(tmp_path / "t.bin", [0], 4)
    assert sorted(os.listdir(tmp_path)) == ["t.bin", "t.json"]
    assert open_tokens(tmp_path / "t.bin")[:].tolist() == [1, 2, 3]
