"""GGUF files: what stands in one, and that no damaged one gets through."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_files import KINDS, Coded, Raw, gguf_bytes, string
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.host.errors import UserError
from tinygrad_llm.pretrained.gguf.blocks import BLOCKS
from tinygrad_llm.pretrained.gguf.file import CHUNK, open_gguf

METADATA = {"general.architecture": "llama", "general.alignment": 32, "a.flag": True,
            "a.number": 0.5, "a.words": ["", "two", "drei"], "a.numbers": [1, 2, 3],
            "a.flags": [True, False], "a.byte": Raw(0, b"\xff"), "a.small": Raw(1, b"\xff"),
            "a.short": Raw(2, b"\xff\xff"), "a.minus": Raw(3, b"\xfe\xff"),
            "a.int": Raw(5, b"\xfd\xff\xff\xff"), "a.long": Raw(10, struct.pack("<Q", 2**63)),
            "a.low": Raw(11, struct.pack("<q", -(2**63))), "a.double": Raw(12, struct.pack(
                "<d", 0.1))}
WEIGHTS = np.arange(15, dtype=np.float32).reshape(3, 5)
TENSORS = {"one.weight": WEIGHTS, "two": np.ones(7, np.float32),
           "three": Coded(b"\0\x3c" + bytes(range(32)), KINDS["Q8_0"], (1, 32))}
WHOLE = gguf_bytes(METADATA, TENSORS)


def opened(data: bytes, path: Path) -> Any:
    path.write_bytes(data)
    return open_gguf(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gguf") / "model.gguf"


@pytest.mark.parametrize("version", [2, 3])
def test_what_stands_in_a_file(path: Path, version: int) -> None:
    file = opened(gguf_bytes(METADATA, TENSORS, version=version), path)
    found = {key: v.tolist() if isinstance(v, np.ndarray) else v
             for key, v in file.metadata.items()}
    assert found == METADATA | {
        "a.byte": 255, "a.small": -1, "a.short": 65535, "a.minus": -2, "a.int": -3,
        "a.long": 2**63, "a.low": -(2**63), "a.double": 0.1}
    assert found["a.flag"] is True and file.metadata["a.flags"].dtype == bool
    assert list(file.tensors) == list(TENSORS) and file.path == path
    assert np.array_equal(file.tensors["one.weight"].floats(), WEIGHTS)
    assert file.tensors["two"].floats().tolist() == [1] * 7
    assert file.tensors["three"].floats().tolist() == [list(range(32))]


@pytest.mark.parametrize("alignment", [1, 8, 64])
def test_other_alignments(path: Path, alignment: int) -> None:
    data = gguf_bytes({"general.alignment": alignment}, TENSORS, alignment=alignment)
    assert np.array_equal(opened(data, path).tensors["one.weight"].floats(), WEIGHTS)


def test_a_file_without_tensors(path: Path) -> None:
    assert not opened(gguf_bytes(), path).tensors


def test_reading_into_a_view_of_other_axes(path: Path) -> None:
    w = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)
    tensor = opened(gguf_bytes({}, {"w": w}), path).tensors["w"]
    whole = np.zeros((20, 5), np.float32)
    view = whole[4:16].reshape(2, 2, 3, 5).swapaxes(1, 2)
    tensor.read_into(view)
    assert np.array_equal(view, w.reshape(2, 3, 2, 5))
    assert not whole[:4].any() and not whole[16:].any()


def test_reading_in_several_chunks(path: Path) -> None:
    q = np.random.default_rng(0).integers(-128, 128, (CHUNK // 64 + 1, 3, 1, 34)).astype(np.int8)
    q[..., :2] = np.frombuffer(b"\0\x3c", np.int8)  # scales of 1
    tensor = opened(gguf_bytes({}, {"w": Coded(q.tobytes(), KINDS["Q8_0"],
                                               (len(q), 3, 32))}), path).tensors["w"]
    half = np.zeros(tensor.shape, np.float16)
    tensor.read_into(half)
    assert np.array_equal(half, q[..., 0, 2:]) and np.array_equal(tensor.floats(), half)


def test_every_prefix_of_a_file_is_refused(shared: Path) -> None:
    for size in range(len(WHOLE)):
        with pytest.raises(UserError, match="model.gguf cannot be read as a GGUF file"):
            opened(WHOLE[:size], shared)
    opened(WHOLE, shared)


@given(data=st.data())
def test_changed_bytes_are_a_user_error_or_harmless(shared: Path, data: st.DataObject) -> None:
    changed = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(WHOLE) - 1))
        changed[place] = data.draw(st.integers(0, 255))
    try:
        file = opened(bytes(changed), shared)
    except UserError:
        return
    assert sum(len(t.data) for t in file.tensors.values()) <= len(WHOLE)
    for tensor in file.tensors.values():
        tensor.floats()


FULL = 2**64 - 1
F32 = KINDS["F32"]
ONE = ("w", Coded(bytes(4), F32, (1,)))
FAULTS: dict[str, tuple[bytes, str]] = {
    "no magic": (gguf_bytes(magic=b"GGML"), "begins with b'GGML'"),
    "version 1": (gguf_bytes(version=1), "version 1"),
    "version 4": (gguf_bytes(version=4), "version 4"),
    "big-endian": (gguf_bytes(version=3 << 24), "big-endian"),
    "tensors": (gguf_bytes(counts=(2**63, 0)), "the table of tensors would take"),
    "entries": (gguf_bytes(counts=(0, 2**63)), "the metadata would take"),
    "string": (gguf_bytes({"k": Raw(8, struct.pack("<Q", 2**63))}), "'k' would take"),
    "key": (gguf_bytes(counts=(0, 1))[:24] + struct.pack("<Q", FULL) + bytes(40), "key would take"),
    "array": (gguf_bytes({"k": Raw(9, struct.pack("<IQ", 4, 2**63))}), "'k' would take"),
    "strings": (gguf_bytes({"k": Raw(9, struct.pack("<IQ", 8, 2**63))}), "'k' would take"),
    "nested": (gguf_bytes({"k": Raw(9, struct.pack("<IQ", 9, 1) + bytes(12))}), "of arrays"),
    "type": (gguf_bytes({"k": Raw(13, bytes(8))}), "of the type 13"),
    "item type": (gguf_bytes({"k": Raw(9, struct.pack("<IQ", 99, 0))}), "of the type 99"),
    "bool": (gguf_bytes({"k": Raw(7, b"\2")}), "has 2 where a truth value"),
    "bools": (gguf_bytes({"k": Raw(9, struct.pack("<IQ", 7, 1) + b"\xff")}), "has 255 where"),
    "utf-8": (gguf_bytes({"k": Raw(8, string(b"a\xff"))}), "'k' is not UTF-8 at byte 46"),
    "key utf-8": (gguf_bytes([(b"\xff", 1)]), "key is not UTF-8"),
    "key twice": (gguf_bytes([("k", 1), ("k", 2)]), "'k' is there twice"),
    "alignment 0": (gguf_bytes({"general.alignment": 0}), "general.alignment is 0"),
    "alignment 12": (gguf_bytes({"general.alignment": 12}), "general.alignment is 12"),
    "alignment word": (gguf_bytes({"general.alignment": "8"}), "general.alignment is '8'"),
    "alignment large": (gguf_bytes({"general.alignment": 1 << 31}, [ONE]), "cut short"),
    "tensor twice": (gguf_bytes({}, [ONE, ONE]), "'w' is there twice"),
    "path": (gguf_bytes({}, [("../../w", ONE[1])]), "'../../w' has a name of other characters"),
    "no name": (gguf_bytes({}, [("", ONE[1])]), "'' has a name of other characters"),
    "no axes": (gguf_bytes({}, {"w": Coded(bytes(4), F32, ())}), "0 axes"),
    "five axes": (gguf_bytes({}, {"w": Coded(bytes(4), F32, (1,) * 5)}), "5 axes"),
    "axis of 0": (gguf_bytes({}, {"w": Coded(b"", F32, (4, 0))}), r"axes of \[0, 4\]"),
    "part of a block": (gguf_bytes({}, {"w": Coded(bytes(34), 8, (16,))}), "whole blocks of 32"),
    "too large": (gguf_bytes({}, {"w": Coded(bytes(4), F32, (2**40, 2**40))}), "cut short"),
    "overflow": (gguf_bytes({}, {"w": Coded(bytes(4), F32, (2**32, 2**32))}), "cut short"),
    "offset": (gguf_bytes({}, {"w": Coded(bytes(4), F32, (1,), 2**63)}), "cut short"),
    "offset unaligned": (gguf_bytes({}, {"w": Coded(bytes(40), F32, (1,), 4)}), "no multiple"),
    "overlap": (gguf_bytes({}, {"v": Coded(bytes(128), F32, (32,), 0),
                                "w": Coded(bytes(4), F32, (1,), 32)}), "'v' and 'w' overlap"),
    "Q5_K": (gguf_bytes({}, {"w": Coded(bytes(176), 13, (256,))}), "type Q5_K.*read are F32, F16"),
    "type 5": (gguf_bytes({}, {"w": Coded(bytes(176), 5, (256,))}), "type number 5"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named(path: Path, fault: str) -> None:
    data, message = FAULTS[fault]
    with pytest.raises(UserError, match=f"model.gguf cannot be read as a GGUF file: .*{message}"):
        opened(data + bytes(32), path)


def test_what_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.gguf"):
        with pytest.raises(UserError, match="cannot be read: .*give the path of a GGUF file"):
            open_gguf(path)


@pytest.mark.oracle
def test_a_file_that_gguf_wrote(path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(3)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_token_list(["a", "b\u00e9", "<0x0A>"])
    writer.add_token_scores([0.0, -1.0, -2.0])
    rng = np.random.default_rng(0)
    arrays = {kind: rng.standard_normal((4, 64)).astype(np.float32)
              for kind in ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1")}
    for kind, array in arrays.items():
        type = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(kind, gguf.quantize(array, type), raw_dtype=type)
    blocks = {kind: rng.integers(0, 60, (3, 2 * BLOCKS[kind].bytes), np.uint8)
              for kind in ("Q4_K", "Q6_K")}  # which gguf cannot quantize
    for kind, data in blocks.items():
        writer.add_tensor(kind, data, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = open_gguf(path)
    assert file.metadata["llama.block_count"] == 3
    assert file.metadata["tokenizer.ggml.tokens"] == ["a", "b\u00e9", "<0x0A>"]
    assert file.metadata["tokenizer.ggml.scores"].tolist() == [0, -1, -2]
    for kind, array in arrays.items():
        type = gguf.GGMLQuantizationType[kind]
        expected = gguf.dequantize(gguf.quantize(array, type), type)
        assert np.array_equal(file.tensors[kind].floats(), expected)
    for kind, data in blocks.items():
        expected = gguf.dequantize(data, gguf.GGMLQuantizationType[kind])
        assert file.tensors[kind].shape == expected.shape == (3, 512)
        assert np.array_equal(file.tensors[kind].floats(), expected)

