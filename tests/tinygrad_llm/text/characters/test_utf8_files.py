"""The chunks of a file, joined, are its text, under each policy for errors."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.text.characters.utf8_files import read_chunks

# Characters of 1 to 4 bytes, and parts of them.
bytes_of_text = st.lists(st.sampled_from([
    b"a", "é".encode(), "中".encode(), "😀".encode(), b"\xe4", b"\xb8", b"\xf0\x9f", b"\xff"]),
    max_size=12).map(b"".join)


@given(st.binary(max_size=40) | bytes_of_text, st.integers(1, 7),
       st.sampled_from(["replace", "ignore", "backslashreplace"]))
@example(b"a\xe4b", 2, "replace")  # the fault is in the chunk before
def test_files_in_chunks(tmp_path_factory, data: bytes, size: int, errors: str) -> None:
    path = tmp_path_factory.mktemp("chunks") / "file"
    path.write_bytes(data)
    assert "".join(read_chunks(path, errors, size)) == data.decode("utf-8", errors)
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        with pytest.raises(UserError, match=f"at offset {error.start};"):
            list(read_chunks(path, "strict", size))
    else:
        assert "".join(read_chunks(path, "strict", size)) == whole


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        list(read_chunks(tmp_path / "none"))
    with pytest.raises(UserError, match="known are strict"):
        list(read_chunks(tmp_path / "none", "wrong"))
