"""`tinygrad-llm sample` as a user meets it."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import TEXT, command, error_of, train

from tinygrad_llm.cli import main
from tinygrad_llm.sample import Batcher, LookUp, ModelDraft
from tinygrad_llm.train import load_model

pytestmark = pytest.mark.usefixtures("folder")


def test_train_then_sample(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    out = capsys.readouterr().out
    assert "training in runs/tiny" in out and "tinygrad-llm sample runs/tiny" in out
    texts = []
    for seed in ("1", "1", "2"):
        assert main(["sample", "--prompt", "The", "-n", "30", "--seed", seed, "--top-k", "9",
                     "--top-p", "0.9", "--temperature", "1.1"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2] and len(texts[0]) == 3 + 30 + 1


def test_mistakes_of_sampling(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no run in runs/tiny; train one" in error_of(capsys, "sample")
    assert train() == 0
    assert "'Ω' (U+03A9)" in error_of(capsys, "sample", "--prompt", "The Ω")
    assert "at least one character" in error_of(capsys, "sample", "--prompt", "")
    assert "temperature" in error_of(capsys, "sample", "--temperature", "-1")
    assert "top-k" in error_of(capsys, "sample", "--top-k", "0")
    assert "top-p" in error_of(capsys, "sample", "--top-p", "2")
    assert "-n must be" in error_of(capsys, "sample", "-n", "-3")
    assert "--seed must be" in error_of(capsys, "sample", "--seed", "-3")
    (weights,) = (folder / "runs/tiny/checkpoint").glob("weights-*")
    weights.write_bytes(weights.read_bytes()[:200])
    assert "damaged or truncated" in error_of(capsys, "sample")
    weights.unlink()
    assert "is missing" in error_of(capsys, "sample")
    (folder / "runs/tiny/tokenizer.json").write_text("{}")
    assert "tokenizer" in error_of(capsys, "sample")


def test_a_text_without_line_ends_needs_no_prompt(
        folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "text.txt").write_text("abc" * 100)
    assert train() == 0
    capsys.readouterr()
    assert main(["sample", "-n", "20"]) == 0
    assert set(capsys.readouterr().out.strip()) <= set("abc")


def test_the_reader_may_stop_reading(folder: Path) -> None:
    assert train() == 0
    process = command("sample", "-n", "100000", cwd=folder)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(50)
    process.stdout.close()
    assert process.wait(timeout=60) == 0 and "Traceback" not in process.stderr.read()
    process.stderr.close()


def test_prompts_from_anywhere(folder: Path, capsys: pytest.CaptureFixture[str],
                               monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "text.txt").write_text("-hello --out\n" * 30)
    assert train() == 0
    (folder / "prompt.txt").write_text("hell")
    (folder / "latin1.txt").write_bytes(b"caf\xe9")
    (folder / "none.txt").write_text("")
    for args, prompt in ((["--prompt", "-hello"], "-hello"), (["--prompt", "--out"], "--out"),
                         (["--prompt=-h"], "-h"), (["--prompt-file", "prompt.txt"], "hell")):
        capsys.readouterr()
        assert main(["sample", "-n", "3", *args]) == 0
        assert capsys.readouterr().out.startswith(prompt)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"out")))
    assert main(["sample", "-n", "3", "--prompt-file", "-"]) == 0
    assert capsys.readouterr().out.startswith("out")
    for args, words in ((["prompt.txt", "--prompt", "h"], "exclude each other"),
                        (["absent.txt"], "cannot read --prompt-file absent.txt"),
                        (["latin1.txt"], "not UTF-8 at byte 3"), (["none.txt"], "at least one")):
        assert words in error_of(capsys, "sample", "--prompt-file", *args)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run, which is trained once."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(TEXT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert train() == 0
    return folder / "runs"


@pytest.fixture
def tiny(folder: Path, trained: Path) -> Path:
    """Return the folder to work in, with a run."""
    shutil.copytree(trained, folder / "runs")
    return folder


def texts(capsys: pytest.CaptureFixture[str], *args: str) -> list[dict[str, Any]]:
    """Return the lines of JSON that `sample` writes."""
    capsys.readouterr()
    assert main(["sample", "--json", "-n", "12", *args]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.split("\n")[:-1]]


def test_many_texts_are_what_each_is_alone(
        tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tiny / "a.txt").write_text("The\r\nA sheep\r\n")
    (tiny / "b.jsonl").write_text('{"prompt": "The", "id": 5}\n{"prompt": "A sheep"}')
    found = texts(capsys, "--prompts", "a.txt", "--n", "2", "--seed", "7")
    assert [(t["prompt"], t["seed"], t["reason"]) for t in found] == [
        ("The", 7, "length"), ("The", 8, "length"), ("A sheep", 7, "length"),
        ("A sheep", 8, "length")]
    for text in found:
        alone = texts(capsys, "--prompt", text["prompt"], "--seed", str(text["seed"]))
        assert alone == [text] and len(text["ids"]) == 12 and text["logprobs"] is None
        assert main(["sample", "-n", "12", "--prompt", text["prompt"], "--seed",
                     str(text["seed"])]) == 0
        assert capsys.readouterr().out == f"{text['prompt']}{text['text']}\n"
    again = texts(capsys, "--prompts", "b.jsonl", "--n", "2", "--seed", "7")
    assert again == [{**t, "id": 5} if i < 2 else t for i, t in enumerate(found)]
    assert main(["sample", "-n", "12", "--prompts", "a.txt", "--n", "2", "--seed", "7"]) == 0
    out, err = capsys.readouterr()
    assert out == "".join(f"==> text {i}, seed {t['seed']} <==\n{t['prompt']}{t['text']}\n"
                          for i, t in enumerate(found, 1))
    assert "writing" in err and "4/4" in err
    (fresh,) = texts(capsys, "--prompt", "The")
    assert texts(capsys, "--prompt", "The", "--seed", str(fresh["seed"])) == [fresh]


def test_a_file_of_texts_is_gone_on_with(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tiny / "a.txt").write_text("The\nA\nsheep\n")
    many = ["sample", "-n", "5", "--prompts", "a.txt", "--out", "out.jsonl"]
    assert main(many) == 0
    whole = (tiny / "out.jsonl").read_bytes()
    assert [json.loads(line)["prompt"] for line in whole.splitlines()] == ["The", "A", "sheep"]
    assert "out.jsonl exists; go on with it with --resume" in error_of(capsys, *many)
    for size in (0, 9, whole.index(b"\n") + 30, len(whole)):  # one line is torn
        (tiny / "out.jsonl").write_bytes(whole[:size])
        seed = str(json.loads(whole.splitlines()[0])["seed"])
        more = ["--seed", seed] if size < 30 else []
        assert main([*many, "--resume", *more]) == 0
        assert (tiny / "out.jsonl").read_bytes() == whole
    (tiny / "a.txt").write_text("The\nsay\n")
    assert "line 2, is of another prompt" in error_of(capsys, *many, "--resume")
    assert (tiny / "out.jsonl").read_bytes() == whole
    assert "name it" in error_of(capsys, "sample", "--resume")


@pytest.mark.parametrize("content", [
    b"my notes", b"{", b"my notes\nmore", b"\n", b"[1]\n", b"{}\n", b'{"prompt": "The"}\n',
    b"\xff\n", b'{"prompt": "The", "seed": "x"}\n', b'{"prompt": "The", "seed": null}\n',
    b'{"prompt": "The", "seed": 1}\n\n', b'{"prompt": "The", "seed": 1}\n{"prompt": "B"',
    b'{"prompt": "The", "seed": 1}\n{"prompt": "A", "seed": 1}\n{"prompt": "C"'])
def test_another_file_is_not_gone_on_with(tiny: Path, capsys: pytest.CaptureFixture[str],
                                          content: bytes) -> None:
    """It stays as it is, but for a line that may be the beginning of the next."""
    (tiny / "a.txt").write_text("The\nA\n")
    (tiny / "out.jsonl").write_bytes(content)
    if content != b"{":
        assert "--out out.jsonl, line " in error_of(
            capsys, "sample", "--prompts", "a.txt", "--out", "out.jsonl", "--resume")
        assert (tiny / "out.jsonl").read_bytes() == content
    assert "no file" in error_of(capsys, "sample", "--out", "runs", "--resume")
    assert "there is no folder none" in error_of(capsys, "sample", "--out", "none/out.jsonl")


@pytest.mark.parametrize("other", [
    ["-n", "6"], ["--temperature", "0.7"], ["--ban", "5"], ["--ends", "5"], ["--bias", "5=1"],
    ["--bits", "8"], ["--draft", "runs/tiny"], ["--truncate", "left"], ["--logprobs"],
    ["--regex", "a*"], ["--json-schema", "b.json"], ["--stop", "x"], ["runs/more"]])
def test_texts_of_other_options_are_not_gone_on_with(
        tiny: Path, capsys: pytest.CaptureFixture[str], other: list[str]) -> None:
    (tiny / "b.json").write_text("true")
    (tiny / "a.txt").write_text("The\nA\n")
    if other == ["runs/more"]:
        assert train("--out", "runs/more", "--steps", "6") == 0
    many = ["sample", "--prompts", "a.txt", "--out", "out.jsonl"]
    assert main([*many, "-n", "5"]) == 0
    whole = (tiny / "out.jsonl").read_bytes()
    (tiny / "out.jsonl").write_bytes(whole[: whole.index(b"\n") + 1])
    assert "line 1, is of another" in error_of(capsys, *many, "-n", "5", *other, "--resume")
    assert main([*many, "-n", "5", "--temperature", "0.8", "--lookup", "--resume"]) == 0
    assert (tiny / "out.jsonl").read_bytes() == whole


def test_lines_of_json_are_gone_on_with_and_read_again(
        tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever else they say: line ends of Unicode, and keys that are written here."""
    (tiny / "a.jsonl").write_text('{ "prompt": "The", "x": "a\u2028b\x85é", "text": "old"}\n'
                                  '{"prompt": "A", "seed": 3, "x": 0.1}\n', encoding="utf-8")
    many = ["sample", "-n", "3", "--prompts", "a.jsonl", "--out", "out.jsonl"]
    assert main(many) == 0
    whole = (tiny / "out.jsonl").read_bytes()
    first, second = (json.loads(line) for line in whole.decode().split("\n")[:2])
    assert first["x"] == "a\u2028b\x85é" and first["text"] != "old" and second["x"] == 0.1
    assert first["seed"] == second["seed"]
    assert first["made_with"] == second["made_with"]
    for size in range(0, len(whole) + 1, 7):
        (tiny / "out.jsonl").write_bytes(whole[:size])
        assert main([*many, "--resume", "--seed", str(first["seed"])]) == 0
        assert (tiny / "out.jsonl").read_bytes() == whole
    again = texts(capsys, "--prompts", "out.jsonl", "-n", "3", "--seed", str(first["seed"]))
    assert [text | {"made_with": first["made_with"]} for text in again] == [first, second]


def test_json_in_an_encoding_that_lacks_characters(
        tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows' pipes have one. The line is in ASCII then, and says the same."""
    (tiny / "a.jsonl").write_text('{"prompt": "The", "x": "Ω😀é"}', encoding="utf-8")
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, "cp1252"))
    assert main(["sample", "--json", "-n", "3", "--prompts", "a.jsonl"]) == 0
    line = written.getvalue()
    assert line.isascii() and json.loads(line)["x"] == "Ω😀é"


def test_prompts_of_windows(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A byte order mark and its line ends are not part of them, as in text to train on."""
    (tiny / "a.txt").write_bytes(b"\xef\xbb\xbfThe\r\nA")
    (tiny / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"prompt": "The"}\r\n')
    assert texts(capsys, "--prompt-file", "a.txt")[0]["prompt"] == "The\nA"
    assert [text["prompt"] for text in texts(capsys, "--prompts", "a.txt")] == ["The", "A"]
    assert [text["prompt"] for text in texts(capsys, "--prompts", "a.jsonl")] == ["The"]


def test_what_leaves_no_token_is_named_by_its_flags(
        tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended = ["--prompt", "The", "-n", "40", "--no-repeat-ngram", "1"]
    for args in (ended, [*ended, "--json"]):
        assert "forbidden by --no-repeat-ngram; " in error_of(capsys, "sample", *args)
    assert main(["sample", *ended]) == 2
    assert capsys.readouterr().out.endswith("\n")  # what was written before stands by itself
    assert "by --regex or --json-schema, -n (the shortest text has 9 tokens, " in error_of(
        capsys, "sample", "--regex", "[0-9]{9}", "-n", "3")


def test_how_probable_each_token_was(tiny: Path, capsys: pytest.CaptureFixture[str],
                                     monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = texts(capsys, "--prompt", "The", "--seed", "1", "--logprobs", "2", "--stop", "zzz")
    model, tokenizer, _ = load_model(Path("runs/tiny"))
    ids = tokenizer.encode("The") + text["ids"]
    for place, found in enumerate(text["logprobs"][:5]):  # the context is 8
        z = model.next_logits(np.array([ids[: 3 + place]])).data[0].astype(float)
        z -= np.log(np.exp(z).sum())
        assert found["id"] == text["ids"][place] and abs(found["logprob"] - z[found["id"]]) < 1e-5
        assert [id for id, _ in found["top"]] == np.argsort(-z)[:2].tolist()
    shown = ["sample", "-n", "12", "--prompt", "The", "--seed", "1", "--logprobs"]
    assert main([*shown, "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "\n".join(lines[:-12]) == f"The{text['text']}" and lines[-12].split("%")[0].strip()
    assert " of " in lines[-1]
    for colours, environment, terminal in ((True, "", "xterm"), (False, "1", "xterm"),
                                           (False, "", "dumb")):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("NO_COLOR", environment)
        monkeypatch.setenv("TERM", terminal)
        assert main(shown) == 0
        out = capsys.readouterr().out
        assert ("\x1b[38;5;" in out) == colours
        plain = re.sub("\x1b\\[[0-9;]*m", "", out)
        assert plain.startswith(f"The{text['text']}\n")


def test_options_reach_the_text(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = load_model(Path("runs/tiny"))[1]
    a, b = (str(tokenizer.encode(c)[0]) for c in "ab")
    greedy = ["--prompt", "The", "--temperature", "0", "--bias", f"{a}=99"]

    def text(*args: str) -> str:
        (found,) = texts(capsys, *greedy, *args)
        return f"{found['text']} {found['reason']}"

    assert text() == f"{'a' * 12} length"
    assert text("--bias", f"{b}=200") == f"{'b' * 12} length"
    assert text("--ends", a) == " end" and text("--ends", f"{a},{b}", "--min-tokens", "1") != " end"
    assert text("--ends", "none") == f"{'a' * 12} length"
    assert text("--stop", "x", "--stop", "aaa") == " stop"
    (banned,) = texts(capsys, "--prompt", "The", "--ban", f"{a},{b}", "--seed", "1")
    assert not {"a", "b"} & {*banned["text"]}
    (cut,) = texts(capsys, "--prompt", "The sheep says", "--truncate", "left", "--seed", "1")
    assert cut["text"] == texts(capsys, "--prompt", "eep says", "--seed", "1")[0]["text"]
    (cut,) = texts(capsys, "--prompt", "The sheep says", "--truncate", "right", "--seed", "1")
    assert cut["text"] == texts(capsys, "--prompt", "The shee", "--seed", "1")[0]["text"]


def test_drafts_change_no_text(tiny: Path, capsys: pytest.CaptureFixture[str],
                               monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Any] = []
    take = Batcher._take_drafted
    monkeypatch.setattr(Batcher, "_take_drafted", lambda self, handle, logits, drafted, q: (
        used.append(type(self.draft)), take(self, handle, logits, drafted, q))[1])
    drawn = ["--prompt", "eeeeee", "--seed", "1"]
    greedy = [*drawn, "--temperature", "0"]
    assert texts(capsys, *drawn, "--lookup") == texts(capsys, *drawn)
    assert texts(capsys, *greedy, "--draft", "runs/tiny") == texts(capsys, *greedy)
    assert {*used} == {LookUp, ModelDraft}
    (tiny / "text.txt").write_text(TEXT + "~")
    assert train("--out", "runs/other") == 0
    assert "--draft runs/other has other tokens than the model" in error_of(
        capsys, "sample", *drawn, "--draft", "runs/other")


def test_beam_search(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = texts(capsys, "--prompt", "The", "--beams", "3", "--n", "2", "-n", "4")
    assert found[0]["score"] >= found[1]["score"] and len(found[0]["ids"]) == 4
    assert texts(capsys, "--prompt", "The", "--beams", "3", "--n", "2", "-n", "4",
                 "--length-penalty", "0")[0]["score"] == pytest.approx(4 * found[0]["score"])
    (tiny / "a.jsonl").write_text('{"prompt": "The", "id": 5, "seed": 1}')
    assert texts(capsys, "--prompts", "a.jsonl", "--beams", "3", "--n", "2", "-n", "4") == [
        {"prompt": "The", "id": 5, **text} for text in found]
    assert main(["sample", "--prompt", "The", "--beams", "2", "-n", "4"]) == 0
    assert capsys.readouterr().out == f"The{found[0]['text']}\n"


@pytest.mark.parametrize("many", [["--prompts", "a.txt"], ["--prompt", "The", "--n", f"{10**15}"]])
def test_many_texts_end_with_their_reader(tiny: Path, many: list[str]) -> None:
    """However many there are."""
    (tiny / "a.txt").write_text("The\n" * 300)
    process = command("sample", "-n", "50", *many, cwd=tiny)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(50)
    process.stdout.close()
    assert process.wait(timeout=60) == 0 and "Traceback" not in process.stderr.read()
    process.stderr.close()


@pytest.mark.parametrize("args, words", [
    (["--prompt", "The sheep says"], "prompt 1 has 14 tokens, and the model's context holds 8"),
    (["--prompts", "a.txt", "--prompt", "x"], "exclude each other"),
    (["--prompts", "gap.txt"], "line 2: expected a prompt"),
    (["--prompts", "bad.jsonl"], "line 2: it is no JSON"),
    (["--prompts", "nan.jsonl"], "line 1: it is no JSON that can be read: NaN"),
    (["--prompts", "large.jsonl"], "line 1: it is no JSON that can be read: the number 1e999"),
    (["--prompts", "half.jsonl"], "line 1: it has a lone surrogate"),
    (["--prompts", "twice.jsonl"], "line 1: it is no JSON that can be read: an object names"),
    (["--prompts", "deep.jsonl"], "line 1: it is no JSON that can be read"),
    (["--prompts", "other.jsonl"], "line 2: expected a prompt"),
    (["--prompts", "none.txt"], "cannot read --prompts none.txt"),
    (["--prompts", "unknown.txt"], "prompt 2: encode: 1 of the text's characters"),
    (["--n", "0"], "--n must be at least 1"),
    (["--beams", "2", "--temperature", "1"], "--beams and --temperature exclude each other"),
    (["--beams", "2", "--top-k", "3"], "--top-k"),
    (["--beams", "2", "--n", "3"], "--n (3) is more than --beams (2)"),
    (["--beams", "0"], "--n (1) is more than --beams (0)"),
    (["--beams", "2", "--seed", "3"], "leave out --seed"),
    (["--top-k", "0"], "--top-k must be at least 1, got 0; or leave it out"),
    (["--bias", "0=1", "--bias", "0=2"], "--bias names an id twice"),
    (["--beams", "2", "--bits", "8"], "--beams and --bits exclude each other"),
    (["--beams", "2", "--lookup"], "--beams and --lookup exclude each other"),
    (["--length-penalty", "1"], "give it with --beams"),
    (["--regex", "a", "--json-schema", "x"], "--regex and --json-schema exclude each other"),
    (["--json-schema", "a.txt"], "a.txt is no JSON"),
    (["--bits", "4"], "--bits must be 8"),
    (["--min-tokens", "9", "-n", "5"], "--min-tokens (9) is more than -n (5)"),
    (["--ban", "5", "--bias", "5=1"], "--ban and in --bias"),
    (["--ban", "99999"], "--ban: ids must lie in"),
    (["--stop", ""], "--stop"),
    (["--repetition-penalty", "0"], "--repetition-penalty must be above 0"),
    (["--seed", "-1"], "--seed must be"),
])
def test_mistakes_that_are_named(tiny: Path, capsys: pytest.CaptureFixture[str],
                                 args: list[str], words: str) -> None:
    for name, content in (("a.txt", "The\n"), ("gap.txt", "The\n\nA\n"), ("unknown.txt", "A\nΩ"),
                          ("bad.jsonl", '{"prompt": "A"}\n{'),
                          ("nan.jsonl", '{"prompt": "A", "x": NaN}'),
                          ("large.jsonl", '{"prompt": "A", "x": 1e999}'),
                          ("half.jsonl", '{"prompt": "A", "x": "\\ud83d"}'),
                          ("twice.jsonl", '{"prompt": "A", "prompt": "B"}'),
                          ("deep.jsonl", '{"prompt": ' + "[" * 100000),
                          ("other.jsonl", '{"prompt": "A"}\n{"text": "A"}')):
        (tiny / name).write_text(content, encoding="utf-8")
    assert words in error_of(capsys, "sample", *args)


@pytest.mark.parametrize("args", [["--bias", "5"], ["--ban", "x"], ["--ends", "1,"]])
def test_values_that_are_none(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sample", *args])
    assert "expected" in capsys.readouterr().err
