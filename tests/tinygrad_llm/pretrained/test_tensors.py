"""safetensors files: the library's bytes, and nothing but UserError for a damaged one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.pretrained.tensors import INDEX, SINGLE, TensorFiles, split, write_tensors

rng = np.random.default_rng(3)
ARRAYS: dict[str, Any] = {
    "b": rng.standard_normal((3, 4), np.float32), "a.é": np.float32([7]),
    "half": rng.standard_normal((5, 3)).astype(np.float16), "empty": np.zeros((0, 3), np.float32),
    "brain": rng.standard_normal((2, 3)).astype(ml_dtypes.bfloat16), "scalar": np.array(2.5),
    "turned": rng.standard_normal((4, 3)).astype(np.float32).T}


def write(path: Path, arrays: dict[str, Any] = ARRAYS) -> Path:
    write_tensors(path, {name: (a.dtype.name, a.shape) for name, a in arrays.items()},
                  arrays.__getitem__)
    return path


def test_the_bytes_are_those_of_the_library(tmp_path: Path) -> None:
    save_file({name: np.array(a, order="C") for name, a in ARRAYS.items()}, tmp_path / "theirs",
              metadata={"format": "pt"})
    assert write(tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_tensors_are_read_by_name(tmp_path: Path) -> None:
    write(tmp_path / SINGLE)
    files = TensorFiles(tmp_path)
    assert files.stored.keys() == ARRAYS.keys()
    assert isinstance(files.stored["b"].array, np.memmap)  # nothing is read before it is asked for
    for name, array in ARRAYS.items():
        assert files.stored[name].shape == array.shape
        found = files.stored[name].array
        assert found.dtype == array.dtype
        assert found.tobytes() == np.array(array, order="C").tobytes()


def header(content: Any, data: bytes = b"", size: int | None = None) -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + data


def tensor(shape: Any, start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


HOSTILE = {
    "empty": b"", "no header": b"\x05", "header too large": header({}, size=2**63),
    "header of 100 MB": header({}, size=100_000_001), "header longer than the file":
    header({}, size=1000), "no JSON": header(b"{not json"), "a list": header([1]),
    "not UTF-8": header(b'{"\xff": 1}'),
    "too short": header({"a": tensor([2], 0, 8)}, b"1234"),
    "too long": header({"a": tensor([1], 0, 4)}, b"12345678"),
    "overlapping": header({"a": tensor([1], 0, 4), "b": tensor([1], 2, 6)}, b"123456"),
    "a hole": header({"a": tensor([1], 0, 4), "b": tensor([1], 8, 12)}, b"123456789abc"),
    "larger than the file": header({"a": tensor([2**40], 0, 2**42)}, b"1234"),
    "shape of 2^63": header({"a": tensor([2**63], 0, 4)}, b"1234"),
    "shape that overflows": header({"a": tensor([2**32, 2**32, 4], 0, 4)}, b"1234"),
    "shape below 0": header({"a": tensor([-1], 0, 4)}, b"1234"),
    "offsets turned": header({"a": tensor([1], 4, 0)}, b"1234"),
    "another size than the shape": header({"a": tensor([2], 0, 4)}, b"1234"),
    "no dtype": header({"a": {"shape": [1], "data_offsets": [0, 4]}}, b"1234"),
    "unknown dtype": header({"a": tensor([1], 0, 4, "X32")}, b"1234"),
    "integers": header({"a": tensor([1], 0, 4, "I32")}, b"1234"),
    "8 bits": header({"a": tensor([4], 0, 4, "F8_E4M3")}, b"1234"),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_with_its_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / SINGLE).write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors"):
        TensorFiles(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("whole") / SINGLE)


@given(st.data())
def test_damage_is_reported_or_harmless(whole: Path, data: Any) -> None:
    good = whole.read_bytes()
    if data.draw(st.booleans()):
        bad = bytearray(good[:data.draw(st.integers(0, len(good) - 1))])
    else:
        bad = bytearray(good)
        for _ in range(data.draw(st.integers(1, 3))):
            bad[data.draw(st.integers(0, 500))] ^= data.draw(st.integers(1, 255))
    folder = whole.parent / "damaged"
    folder.mkdir(exist_ok=True)
    (folder / SINGLE).write_bytes(bad)
    try:
        files = TensorFiles(folder)
        for name in files.stored:
            files.stored[name].array.tobytes()
    except UserError as error:
        assert SINGLE in str(error)


def sharded(folder: Path, **changes: Any) -> Path:
    write(folder / "a.safetensors", {"b": ARRAYS["b"], "half": ARRAYS["half"]})
    write(folder / "c.safetensors", {"brain": ARRAYS["brain"]})
    places = {"b": "a.safetensors", "half": "a.safetensors", "brain": "c.safetensors"} | changes
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": {
        name: file for name, file in places.items() if file}}))
    return folder


def test_shards_are_read_by_their_index(tmp_path: Path) -> None:
    files = TensorFiles(sharded(tmp_path))
    assert {name: one.path.name for name, one in files.stored.items()} == {
        "b": "a.safetensors", "half": "a.safetensors", "brain": "c.safetensors"}
    assert (files.stored["brain"].array == ARRAYS["brain"]).all()


@pytest.mark.parametrize(("changes", "message"), [
    ({"x": "missing.safetensors"}, "names missing.safetensors, which is not there"),
    ({"x": "../a.safetensors"}, "expected a name in its own folder"),
    ({"x": "/etc/passwd"}, "expected a name in its own folder"),
    ({"x": "sub/a.safetensors"}, "expected a name in its own folder"),
    ({"x": "..\\a.safetensors"}, "expected a name in its own folder"),
    ({"x": "C:a.safetensors"}, "expected a name in its own folder"),
    ({"x": ".."}, "expected a name in its own folder"),
    ({"x": "a\0.safetensors"}, "expected a name in its own folder"),
    ({"x": 3}, "expected a weight_map from tensors to files"),
    ({"x": "a.safetensors"}, "do not agree on the tensor 'x', which is in the index only"),
    ({"half": None}, "do not agree on the tensor 'half', which is in the file only"),
    ({"half": "c.safetensors"}, "do not agree on the tensor 'half'"),
])
def test_a_wrong_index_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        TensorFiles(sharded(tmp_path, **changes))


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    write(sharded(tmp_path) / "c.safetensors", {"brain": ARRAYS["brain"], "b": ARRAYS["b"]})
    with pytest.raises(UserError, match=r"'b', which is in the file only"):
        TensorFiles(tmp_path)


def test_an_index_that_is_none_is_refused(tmp_path: Path) -> None:
    for text in ("[]", "{", '{"weight_map": []}', "{}"):
        (tmp_path / INDEX).write_text(text)
        with pytest.raises(UserError, match="index"):
            TensorFiles(tmp_path)


def test_a_folder_without_weights_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no model\.safetensors and no .*check the path"):
        TensorFiles(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(UserError, match=r"only pytorch_model\.bin, which is a pickle.*convert it"):
        TensorFiles(tmp_path)


def test_groups_of_shards() -> None:
    sizes = {"a": 3, "b": 9, "c": 2, "d": 2, "e": 4}
    assert split(sizes, 100) == [["a", "b", "c", "d", "e"]]
    assert split(sizes, 5) == [["b"], ["a", "c"], ["d"], ["e"]]
    assert split({"a": 9, "b": 1}, 5) == [["a"], ["b"]]
    assert split({}, 5) == []
