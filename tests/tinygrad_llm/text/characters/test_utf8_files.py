"""The chunks of a file, joined, are its text, whatever the policy for errors."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.characters.utf8_files import read_chunks


@given(st.binary(max_size=40), st.integers(1, 7),
       st.sampled_from(["replace", "ignore", "backslashreplace"]))
def test_files_in_chunks(tmp_path_factory, data: bytes, size: int, errors: str) -> None:
    path = tmp_path_factory.mktemp("chunks") / "file"
    path.write_bytes(data)
    assert "".join(read_chunks(path, errors, size)) == data.decode("utf-8", errors)
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        with pytest.raises(UserError, match=f"at offset {error.start}"):
            list(read_chunks(path, "strict", size))
    else:
        assert "".join(read_chunks(path, "strict", size)) == whole


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        list(read_chunks(tmp_path / "none"))
    with pytest.raises(UserError, match="known are strict"):
        list(read_chunks(tmp_path / "none", "wrong"))
