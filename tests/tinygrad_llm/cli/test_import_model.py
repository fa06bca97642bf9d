"""`tinygrad-llm import` as a user meets it, and what can be done with the run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import error_of
from gguf_models import LETTERS, llama, write_llama
from hugging_face import GPT2, LLAMA, edit, model_of, write_folder
from safetensors.numpy import load_file

from tinygrad_llm.cli import main
from tinygrad_llm.nn import parameters
from tinygrad_llm.pretrained import from_pretrained
from tinygrad_llm.train import load_model

pytestmark = pytest.mark.usefixtures("folder")
WORDS = "the sheep says no. the dog says no more.\n"
TRAIN = ["--data", "words.txt", "--batch", "2", "--steps", "2", "--warmup", "1", "--eval-batches",
         "1", "--final-eval-batches", "1", "--sample-tokens", "3"]


@pytest.fixture(autouse=True)
def words(folder: Path) -> None:
    (folder / "words.txt").write_text(20 * WORDS)


@pytest.mark.parametrize("config", [LLAMA, GPT2])
def test_a_run_can_be_sampled_evaluated_and_trained_on(
        config: object, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(folder / "source", config)
    edit(folder / "source/tokenizer_config.json", chat_template="{{ messages }}")
    (folder / "source/generation_config.json").write_text('{"eos_token_id": 3}')
    assert main(["import", "source", "--out", "run"]) == 0
    assert "7,896 parameters" in capsys.readouterr().out or config is GPT2
    model, tokenizer, _ = load_model(Path("run"))
    wanted = parameters(model_of(config))
    assert all((p.data == wanted[name].data).all() for name, p in parameters(model).items())
    assert tokenizer.encode("abc") == [3, 4, 5]
    assert main(["sample", "run", "--prompt", "the ", "-n", "5"]) == 0
    assert main(["eval", "run", "--data", "words.txt", "--context", "8"]) == 0
    assert "over the 819 tokens of words.txt" in capsys.readouterr().out
    assert main(["train", "--init", "run", *TRAIN, "--context", "8", "--out", "more"]) == 0
    assert main(["sample", "more", "-n", "5"]) == 0
    assert main(["export", "more", "--out", "exported"]) == 0
    found = from_pretrained("exported")
    assert found.model.config.context == 8
    assert (found.chat_template, found.generation) == ("{{ messages }}", {"eos_token_id": 3})
    first = "model.norm.weight" if config is LLAMA else "transformer.ln_f.weight"
    assert (load_file("exported/model.safetensors")[first] !=
            load_file("source/model.safetensors")[first]).all()


def test_a_gguf_file(folder: Path) -> None:
    _, model = llama("llama")
    write_llama(folder / "model.gguf", "llama", LETTERS | {"tokenizer.chat_template": "{{ x }}"})
    assert main(["import", "model.gguf", "--out", "run"]) == 0
    found, tokenizer, _ = load_model(Path("run"))
    assert all((p.data == parameters(model)[name].data).all()
               for name, p in parameters(found).items())
    assert tokenizer.encode("ab") == [10, 1, 2]
    assert main(["sample", "run", "--prompt", "ab", "-n", "5"]) == 0
    assert main(["export", "run", "--out", "exported"]) == 0
    again = from_pretrained("exported")
    assert again.chat_template == "{{ x }}" and again.generation == {"eos_token_id": 3}
    assert again.tokenizer is not None and again.tokenizer.encode("ab") == [10, 1, 2]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_an_export_has_the_same_bytes(dtype: str, folder: Path) -> None:
    write_folder(folder / "source", dtype=dtype)
    assert main(["import", "source", "--out", "run"]) == 0
    assert main(["export", "run", "--out", "copy"]) == 0
    for path in (folder / "source").iterdir():
        assert (folder / "copy" / path.name).read_bytes() == path.read_bytes(), path.name


def test_rows_without_a_token_are_kept(folder: Path) -> None:
    """As in models whose token table is padded to a round number."""
    write_folder(folder / "source", replace(LLAMA, vocab_size=40))
    assert main(["import", "source", "--out", "run"]) == 0
    model, tokenizer, config = load_model(Path("run"))
    assert (model.config.vocab_size, tokenizer.vocab_size, config.data.token_rows) == (40, 29, 40)
    assert main(["sample", "run", "-n", "30"]) == 0
    assert main(["train", "--init", "run", *TRAIN, "--out", "more"]) == 0
    assert load_model(Path("more"))[0].config.vocab_size == 40
    assert main(["train", "--resume", "--steps", "3", "--out", "more"]) == 0
    assert main(["export", "more", "--out", "exported"]) == 0


def test_an_imported_run_has_no_training_to_resume(
        folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(folder / "source")
    assert main(["import", "source", "--out", "run"]) == 0
    for command in (["train", "--resume", "--out", "run"], ["eval", "run"],
                    ["train", "--resume", "--out", "run", "--data", "words.txt"]):
        assert "train --init run --data TEXT --out NEW" in error_of(capsys, *command)
    assert not list(Path("run/checkpoint").glob("optimizer*"))


def test_mistakes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(folder / "source")
    assert main(["import", "source", "--out", "run"]) == 0
    before = {path: path.read_bytes() for path in (folder / "run").rglob("*") if path.is_file()}
    assert "run already holds a run" in error_of(capsys, "import", "source", "--out", "run")
    assert before == {path: path.read_bytes() for path in before}
    assert "words.txt is a file" in error_of(capsys, "import", "source", "--out", "words.txt")
    assert "has no config.json" in error_of(capsys, "import", "nowhere", "--out", "other")
    edit(folder / "source/config.json", novelty=3)
    assert "'novelty' is 3: no such field" in error_of(capsys, "import", "source", "--out", "other")
    edit(folder / "source/config.json", novelty=...)
    (folder / "source/tokenizer.json").unlink()
    assert "has no tokenizer" in error_of(capsys, "import", "source", "--out", "other")
    assert not (folder / "other").exists()
    shutil.rmtree(folder / "source")
    assert main(["sample", "run", "-n", "3"]) == 0  # which needs its source no more


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["import", "--help"])
    out = capsys.readouterr().out
    assert "qwen3_moe" in out and "tinygrad-llm train --init" in out


def test_a_text_ends_where_the_model_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(folder / "source")
    assert main(["import", "source", "--out", "run"]) == 0
    sample = ["sample", "run", "--prompt", "the ", "--seed", "3", "-n", "20"]
    capsys.readouterr()
    assert main(sample) == 0
    text = capsys.readouterr().out[len("the "):-1]
    assert len(text) > 15  # rows without a token have no text
    end = load_model(Path("run"))[1].encode(text[7])[0]
    for ends in (end, [1000, end]):
        (folder / "run/pretrained/generation_config.json").write_text(
            json.dumps({"eos_token_id": ends}))
        assert main(sample) == 0
        assert capsys.readouterr().out == f"the {text[:text.index(text[7])]}\n"


def test_shards_stay_as_they_were(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(folder / "source", shard_size=4000)
    assert main(["import", "source", "--out", "run"]) == 0
    assert main(["export", "run", "--out", "copy"]) == 0
    assert main(["export", "run", "--out", "one", "--shard-size", "1GB"]) == 0
    names = sorted(path.name for path in (folder / "source").iterdir())
    assert names == sorted(path.name for path in (folder / "copy").iterdir()) and len(names) > 6
    for name in names:
        assert (folder / "copy" / name).read_bytes() == (folder / "source" / name).read_bytes()
    assert not (folder / "one/model.safetensors.index.json").exists()
    index = folder / "run/pretrained/model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00001", "../model-00001"))
    assert "not to be trusted" in error_of(capsys, "export", "run", "--out", "two")
    assert not (folder / "two/config.json").exists()
