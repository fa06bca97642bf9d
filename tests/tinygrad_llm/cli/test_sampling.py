"""Flags and the options of sampling that they stand for."""

from __future__ import annotations

import argparse
import io
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from command_line import train
from small_runs import write_chat_run

from tinygrad_llm.cli import main
from tinygrad_llm.cli.sampling import (
    add_sampling,
    check_flags,
    flags_named,
    json_of,
    read,
    sampling_of,
)
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.nn import store_weights
from tinygrad_llm.sample import Sampling
from tinygrad_llm.train import run as run_module

FLAGS: dict[str, tuple[list[str], Any]] = {
    "temperature": (["--temperature", "0.5"], 0.5), "top_k": (["--top-k", "3"], 3),
    "top_p": (["--top-p", "0.5"], 0.5), "min_p": (["--min-p", "0.1"], 0.1),
    "typical_p": (["--typical-p", "0.9"], 0.9), "seed": (["--seed", "7"], 7),
    "repetition_penalty": (["--repetition-penalty", "1.5"], 1.5),
    "presence_penalty": (["--presence-penalty", "0.5"], 0.5),
    "frequency_penalty": (["--frequency-penalty", "0.5"], 0.5),
    "no_repeat_ngram": (["--no-repeat-ngram", "3"], 3),
    "logit_bias": (["--bias", "5=-2.5", "--bias", "7=1"], {5: -2.5, 7: 1.0}),
    "banned": (["--ban", "5,7"], {5, 7}), "max_tokens": (["-n", "9"], 9),
    "min_tokens": (["--min-tokens", "2"], 2), "stop": (["--stop", "a", "--stop", "b"], ("a", "b")),
    "ends": (["--ends", "5,7"], {5, 7}),
}
NOT_A_FLAG = {"logprobs", "constraint", "processors", "past_context"}  # of these verbs' own


def parsed(*args: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_sampling(parser, "1", "9")
    return parser.parse_args([*args])


def options(*args: str, **defaults: Any) -> Sampling:
    found = parsed(*args)
    check_flags(found, **defaults)
    return sampling_of(found, None, None, **defaults)  # type: ignore[arg-type]


def test_each_option_has_a_flag() -> None:
    assert FLAGS.keys() | NOT_A_FLAG == {field.name for field in fields(Sampling)}
    for name, (args, value) in FLAGS.items():
        assert options(*args) == Sampling(**{name: value}), name
    assert options() == Sampling()
    assert options(temperature=0.8, ends={3}) == Sampling(temperature=0.8, ends={3})
    assert options("--ends", "none", "--temperature", "0", temperature=0.8, ends={3}) == Sampling(
        temperature=0)


@pytest.mark.parametrize("args, words", [
    (["-n", "-1"], "^-n must be at least 0"), (["--bias", "5=nan"], "^--bias must"),
    (["--ban", "5", "--bias", "5=1"], "in --ban and in --bias"),
    (["--temperature", "0", "--typical-p", "0.5"], r"which --typical-p \(0.5\)"),
    (["--stop", ""], "^--stop: a stop string"), (["--seed", "-1"], "^--seed must"),
    (["--regex", "a", "--json-schema", "b"], "^--regex and --json-schema exclude"),
    (["--draft", "a", "--lookup"], "^--lookup and --draft exclude"),
    (["--bits", "3"], "^--bits must be 8, got 3"),
])
def test_mistakes_name_flags(args: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        options(*args)


def test_errors_of_options_name_flags() -> None:
    for error in (ValueError, TypeError, IndexError, UserError):
        with pytest.raises(UserError, match=r"^--seed must; -n, --ban, --no-repeat-ngram; seed$"), \
                flags_named():
            raise error("seed must; max_tokens, banned, no_repeat_ngram; seed")
    with pytest.raises(KeyError), flags_named():
        raise KeyError("seed")
    with pytest.raises(UserError, match="^-n; or leave it out$"), flags_named((UserError,)):
        raise UserError("max_tokens; None leaves it out")
    with pytest.raises(ValueError, match="^max_tokens$"), flags_named((UserError,)):
        raise ValueError("max_tokens")
    words = "leave out seed; by constraint, banned; min_tokens, constraint; the constraint, stop"
    with pytest.raises(UserError) as caught, flags_named():
        raise ValueError(words)
    assert str(caught.value) == (
        "leave out --seed; by --regex or --json-schema, --ban; --min-tokens, --regex or "
        "--json-schema; the constraint, stop")


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("\ufeffé\r\nb\ufeff\rc".encode())
    (tmp_path / "b").write_bytes(b"a\xff")
    assert read(tmp_path / "a", "--x") == "é\nb\ufeff\rc"
    for name, words in (("b", "not UTF-8 at byte 1"), ("c", "cannot read --x")):
        with pytest.raises(UserError, match=words):
            read(tmp_path / name, "--x")
    assert json_of(b"[1, 0.1]", "x") == [1, 0.1]
    with pytest.raises(UserError, match="--x a: it is no JSON"):
        json_of(b"[", "--x a")


@pytest.mark.parametrize("verb", [
    ["sample", "-n", "5"], ["sample", "--beams", "2", "-n", "5"], ["eval"],
    ["eval", "--data", "text.txt"], ["chat", "-n", "5"]])
def test_weights_are_stored_as_the_flag_says(
        verb: list[str], folder: Path, capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []

    def store(model: Any, dtype: Any) -> None:
        found.append(dtype.name)
        store_weights(model, dtype)

    monkeypatch.setattr(run_module, "store_weights", store)
    command, *options = verb
    if command == "chat":
        write_chat_run(folder / "runs/tiny")
    else:
        assert train() == 0
    for name in ("bfloat16", "float16", "float32"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"The dog\n")))
        capsys.readouterr()
        assert main([command, "runs/tiny", "--weights", name, *options]) == 0
        assert capsys.readouterr().out
    assert found == ["bfloat16", "float16"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"The dog\n")))
    assert main([command, "runs/tiny", "--weights", "bfloat", *options]) == 2
    assert "no type 'bfloat'; did you mean 'bfloat16'?" in capsys.readouterr().err
