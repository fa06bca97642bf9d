"""A conversation with SmolLM2: by `chat`, and by transformers' template and generation."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from gguf_files import smollm2

from tinygrad_llm.cli import main
from tinygrad_llm.pretrained.small_files import with_beside
from tinygrad_llm.train import load_model

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = [pytest.mark.oracle, pytest.mark.long, pytest.mark.filterwarnings("ignore")]

from transformers_models import transformers  # noqa: E402

SAID = ["What is the capital of France?", "And of Spain? Answer in one word.",
        'Say "goodbye" in both languages.']
COUNT = 40


def theirs(folder: Path) -> list[str]:
    """Return what transformers answers, greedily."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    chat: list[dict[str, Any]] = []
    for content in SAID:
        chat.append({"role": "user", "content": content})
        ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt",
                                            return_dict=True)["input_ids"]
        with torch.no_grad():
            written = model.generate(ids, max_new_tokens=COUNT, do_sample=False)
        text = tokenizer.decode(written[0, ids.shape[1]:], skip_special_tokens=True)
        chat.append({"role": "assistant", "content": text})
    return [message["content"] for message in chat[1::2]]


def test_three_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                     monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from the exported folder, which keeps the template."""
    run, folder, again = (str(tmp_path / name) for name in ("run", "folder", "again"))
    assert main(["import", str(smollm2()), "--out", run]) == 0
    assert main(["export", run, "--out", folder]) == 0
    assert main(["import", folder, "--out", again]) == 0
    expected = "".join(f"{text}\n" for text in theirs(Path(folder)))
    for name in (run, again):
        kept = with_beside(*load_model(Path(name))[:2], Path(name) / "pretrained")
        assert kept.chat_template and "<|im_start|>" in kept.chat_template
        del kept
        monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(SAID)))
        capsys.readouterr()
        assert main(["chat", name, "--temperature", "0", "-n", str(COUNT)]) == 0
        assert capsys.readouterr().out == expected
