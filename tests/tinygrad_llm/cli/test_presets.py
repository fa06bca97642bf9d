"""`tinygrad-llm presets` as a user meets it."""

from __future__ import annotations

import pytest
from command_line import error_of

from tinygrad_llm.cli import main
from tinygrad_llm.train.config import make_config


def test_every_setting_of_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["tiny", "baby", "gpt2", "tiny-llama", "baby-llama", "tiny-best",
                            "tiny-fast"]
    table = {row.split()[0]: row.split()[1:] for row in rows}
    assert set(table) == {*make_config({}).flat(), *make_config({"arch": "llama"}).flat(),
                          *make_config({"preset": "tiny-best"}).flat()}
    assert table["layers"] == ["4", "6*", "12*", "4", "6*", "4", "4"]
    assert table["steps"][:3] == ["2000", "5000*", "100000*"]
    assert table["bias"] == ["true", "true", "true", "-", "-", "-", "-"]
    assert table["arch"] == ["gpt", "gpt", "gpt", "llama*", "llama*", "llama*", "llama*"]
    assert table["rope_scaling"] == ["-", "-", "-", '""', '""', '""', '""']


def test_chosen_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "baby"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["baby"]
    assert "did you mean 'baby'" in error_of(capsys, "presets", "babi")
