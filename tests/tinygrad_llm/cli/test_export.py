"""`tinygrad-llm export` as a user meets it; imported models are exported in `test_import_model`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import error_of, train
from hugging_face import write_folder

from tinygrad_llm.cli import main
from tinygrad_llm.pretrained import from_pretrained
from tinygrad_llm.train import load_model

pytestmark = pytest.mark.usefixtures("folder")


@pytest.mark.parametrize("arch", ["gpt", "llama"])
def test_a_run_of_ones_own_is_exported(arch: str, folder: Path) -> None:
    assert train("--arch", arch) == 0
    assert main(["export", "runs/tiny", "--out", "exported"]) == 0
    found = from_pretrained("exported")
    model, tokenizer, _ = load_model(Path("runs/tiny"))
    ids = np.array([tokenizer.encode("The dog")])
    assert found.tokenizer is not None
    assert found.tokenizer.encode("The dog") == ids[0].tolist()
    assert (found.model(ids).data == model(ids).data).all()


def test_types_and_shards(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(folder / "source")
    assert main(["import", "source", "--out", "run"]) == 0
    options = ["--dtype", "bfloat16", "--shard-size", "5kB"]
    assert main(["export", "run", "--out", "half", *options]) == 0
    assert "wrote half, in bfloat16" in capsys.readouterr().out
    assert len(list(Path("half").glob("model-*-of-*.safetensors"))) > 2
    assert from_pretrained("half").storage == "bfloat16"


def test_mistakes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no run in nowhere" in error_of(capsys, "export", "nowhere", "--out", "x")
    assert train("--arch", "gpt", "--positions", "rotary", "--width", "16") == 0
    message = error_of(capsys, "export", "runs/tiny", "--out", "x")
    assert "no type of model that transformers loads has" in message and "'rotary'" in message
    write_folder(folder / "source")
    assert main(["import", "source", "--out", "run"]) == 0
    assert "holds a model already" in error_of(capsys, "export", "run", "--out", "source")
    assert "dtype: expected" in error_of(capsys, "export", "run", "--out", "x", "--dtype", "int8")
    for size in ("5 apples", "-1", "", "1e9"):
        assert "expected a size" in error_of(capsys, "export", "run", "--out", "x",
                                             f"--shard-size={size}")
    (folder / "run/pretrained/storage.json").write_text('{"storage": "int8", "other": {}}')
    assert "storage.json is damaged" in error_of(capsys, "export", "run", "--out", "x")
    assert not (folder / "x").exists()
