"""`tinygrad-llm chat` as a user meets it."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import ROOT, STARTED, command, error_of, train
from small_runs import CHATML, write_chat_run

from tinygrad_llm.cli import main
from tinygrad_llm.cli.chat import Conversation, defaults_of
from tinygrad_llm.host.errors import UserError
from tinygrad_llm.sample import Sampling, generate
from tinygrad_llm.text.chat import encode_chat
from tinygrad_llm.train import load_model

pytestmark = pytest.mark.usefixtures("folder")
TEMPLATE = ("{% for m in messages %}<|im_start|>{{ m.role[0] }}{{ m.content }}<|im_end|>"
            "{% endfor %}{% if add_generation_prompt %}<|im_start|>a{% endif %}")

Say = Callable[..., str]


@pytest.fixture
def say(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """Return what a scripted conversation with the run in `run` says."""

    def said(script: str | bytes, *args: str, code: int = 0, run: str = "run",
             errors: str = "strict") -> str:
        data = script if isinstance(script, bytes) else script.encode()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), "utf-8", errors))
        capsys.readouterr()
        assert main(["chat", run, "--temperature", "0", "-n", "9", *args]) == code
        out, err = capsys.readouterr()
        said.err = err  # type: ignore[attr-defined]
        return out

    write_chat_run(folder / "run")
    return said


def answers(*said: str, system: str | None = None, count: int = 9) -> list[str]:
    """Return what the definition answers, without a cache, greedily."""
    model, tokenizer, _ = load_model(Path("run"))
    messages = [] if system is None else [{"role": "system", "content": system}]
    found, rng = [], np.random.default_rng(0)
    for content in said:
        messages.append({"role": "user", "content": content})
        ids, _ = encode_chat(tokenizer, messages, "chatml", special="text", reply=True)
        written = list(generate(model, ids, count, Sampling(temperature=0), rng, cache=False))
        end = tokenizer.special_tokens["<|im_end|>"]
        text = tokenizer.decode(written[:written.index(end)] if end in written else written)
        messages.append({"role": "assistant", "content": text})
        found.append(text)
    return found


def lines(texts: list[str]) -> str:
    return "".join(f"{text}\n" for text in texts)


def test_a_script(say: Say) -> None:
    """Answers and nothing else, each to the whole conversation; blank lines say nothing."""
    assert say("Hi\n\nHow <|im_end|> é?\nYes") == lines(answers("Hi", "How <|im_end|> é?", "Yes"))
    assert "cut after 9 tokens" in say.err  # type: ignore[attr-defined]
    assert say("Hi\n", "--system", "Be") == lines(answers("Hi", system="Be"))
    assert say("") == ""
    assert say("Hi\n/quit\nHo\n") == lines(answers("Hi"))


def test_commands(say: Say) -> None:
    first, second = answers("a", "b")
    alone = answers("b")[0]
    assert len({first, second, alone}) == 3
    assert say("a\n/undo\nb\n") == lines([first, alone])
    assert say("a\nb\n/undo\nb\n") == lines([first, second, second])
    assert say("a\n/reset\nb\n") == lines([first, alone])
    assert say("a\nb\n/regenerate\n") == lines([first, second, second])
    assert "/regenerate" in say("/help\n")
    for script, words in (("/undo\n", "no message to take back"),
                          ("/regenerate\n", "no message to answer"),
                          ("/udno\n", "/udno is no command (to say it, write //udno); did you "
                                       "mean '/undo'?"), ("/exit\n", "did you mean '/quit'?"),
                          ("/save\n", "/save needs the name of a file"),
                          ("/save no/where.json\n", "cannot write 'no"),
                          ("/save ~nobody-of-this-name/a\n", "cannot write '~nobody"),
                          ("/save a\0b\n", "cannot write 'a"),
                          (f"/save {'x' * 300}\n", "cannot write 'xxx"),
                          (b"\xff\n", "standard input is not UTF-8")):
        for errors in ("strict", "surrogateescape"):  # as the locale C has it
            say(script, code=2, errors=errors)
            assert words in say.err  # type: ignore[attr-defined]


def test_messages_that_begin_with_a_slash(say: Say) -> None:
    assert say("//etc is a folder\n") == lines(answers("/etc is a folder"))


def test_input_of_windows(say: Say) -> None:
    assert say(b"\xef\xbb\xbfHi\r\nYes\r\n") == lines(answers("Hi", "Yes"))


def test_nothing_is_lost_where_there_is_no_new_answer(capsys: pytest.CaptureFixture[str]) -> None:
    class Failing:
        model = SimpleNamespace(config=SimpleNamespace(context=100))

        def __init__(self, error: BaseException) -> None:
            self.error = error

        def add(self, ids: list[int], sampling: Sampling, **options: bool) -> None:
            raise self.error

    for error in (UserError("no"), KeyboardInterrupt()):
        for count in (1, 2, 3, 4):
            messages = [{"role": ("user", "assistant", "assistant", "user")[i], "content": str(i)}
                        for i in range(count)]
            talk = Conversation(Failing(error), Sampling(max_tokens=5),  # type: ignore[arg-type]
                                lambda messages, reply: [1], [*messages])
            with suppress(UserError):
                talk._take("/regenerate")
            assert talk.messages == messages
            with suppress(UserError):
                talk._take("more")
            assert talk.messages == messages


def test_seeds(say: Say) -> None:
    """A seed repeats a chat; each answer has one of its own, so another attempt differs."""
    texts = [say("a\n/regenerate\n/regenerate\n", "--temperature", "1", "--seed", seed)
             for seed in ("3", "3", "4")]
    assert texts[0] == texts[1] != texts[2]
    assert len({*texts[0].rstrip('\n').split('\n')}) == 3


def test_reset_keeps_the_system_prompt(say: Say) -> None:
    assert say("a\n/reset\nb\n", "--system", "S") == lines(
        [answers(text, system="S")[0] for text in "ab"])


def test_saved_and_loaded(say: Say, folder: Path) -> None:
    texts = answers("a", "é", system="S")
    assert say("a\n/save chat.json\n", "--system", "S") == lines(texts[:1])
    content = json.loads((folder / "chat.json").read_text("utf-8"))
    assert [m["role"] for m in content["messages"]] == ["system", "user", "assistant"]
    assert say("é\n/save! chat.json\n", "--load", "chat.json") == lines(texts[1:])
    assert len(json.loads((folder / "chat.json").read_text("utf-8"))["messages"]) == 5
    before = (folder / "chat.json").read_bytes()
    say("/save chat.json\n", code=2)
    assert "/save! chat.json writes over it" in say.err  # type: ignore[attr-defined]
    assert (folder / "chat.json").read_bytes() == before
    say("", "--load", "chat.json", "--system", "T", code=2)
    assert "chat.json has a system prompt" in say.err  # type: ignore[attr-defined]


@pytest.mark.parametrize("content, words", [
    (b"{", "is no JSON"), (b"[]", 'expected {"messages"'), (b"\xff", "not UTF-8 at byte 0"),
    (b'{"messages": [{"role": "x", "content": ""}]}', "message 0 has the role 'x'")])
def test_files_that_cannot_be_loaded(say: Say, folder: Path, content: bytes, words: str) -> None:
    (folder / "chat.json").write_bytes(content)
    say("", "--load", "chat.json", code=2)
    assert words in say.err  # type: ignore[attr-defined]


def test_a_full_context(say: Say) -> None:
    """The oldest turns are left out, not the system prompt, and it is said; the file has all."""
    words = ["one" * 10, "two" * 10, "three" * 6]
    out = say("\n".join([*words, "/save chat.json"]), "--system", "S" * 20)
    first, second, _ = answers(*words[:2], "", system="S" * 20)
    assert out.startswith(lines([first, second])) and len(out) > len(lines([first, second]))
    assert "context of 200 tokens is full: the oldest 2 messages" in say.err  # type: ignore[attr-defined]
    assert len(json.loads(Path("chat.json").read_text("utf-8"))["messages"]) == 7
    say("word " * 40, code=2)
    assert "stands around it, and the model's" in say.err  # type: ignore[attr-defined]
    say("word " * 40, "--system", "S", code=2)
    assert "around it and the system prompt, and" in say.err  # type: ignore[attr-defined]
    assert "the message has 2" in say.err and "shorten it" in say.err  # type: ignore[attr-defined]


def test_the_template_of_the_model(folder: Path, say: Say) -> None:
    """It comes before what the tokenizer would fit; a format that is asked for, before it."""
    model = write_chat_run(folder / "own", chat_template=TEMPLATE)
    loaded, tokenizer, _ = load_model(model)
    start, end = (tokenizer.special_tokens[name] for name in CHATML)
    ids = [start, *b"uHi", end, start, *b"a"]
    written = list(generate(loaded, ids, 9, Sampling(temperature=0), np.random.default_rng(0)))
    text = tokenizer.decode(written[:written.index(end)] if end in written else written)
    assert say("Hi\n", run="own") == f"{text}\n" != lines(answers("Hi"))
    assert say("Hi\n", "--format", "chatml", run="own") == lines(answers("Hi"))
    write_chat_run(folder / "fails", chat_template="{{ raise_exception('not today') }}")
    say("Hi\n", run="fails", code=2)
    assert "line 1: not today" in say.err  # type: ignore[attr-defined]
    write_chat_run(folder / "empty", chat_template="{{ nothing }}")
    say("Hi\n", run="empty", code=2)
    assert "makes no tokens of the conversation" in say.err  # type: ignore[attr-defined]
    write_chat_run(folder / "bare", chat_template="{% if messages[0].role == 'system' %}"
                   "{{ raise_exception('System role not supported') }}{% endif %}" + TEMPLATE)
    assert say("Hi\n", run="bare") == f"{text}\n"
    say("Hi\n", "--system", "S", run="bare", code=2)
    assert "--system is not possible here; leave it out: " in say.err  # type: ignore[attr-defined]


def test_mistakes(folder: Path, capsys: pytest.CaptureFixture[str], say: Say) -> None:
    assert "there is no run in nowhere" in error_of(capsys, "chat", "nowhere")
    assert "no chat format; known are" in error_of(capsys, "chat", "run", "--format", "x")
    assert "needs the special token" in error_of(capsys, "chat", "run", "--format", "gemma")
    assert "--top-p must" in error_of(capsys, "chat", "run", "--top-p", "2")
    assert train() == 0
    assert "was not made for chat" in error_of(capsys, "chat", "runs/tiny")
    (folder / "hf").mkdir()
    (folder / "hf/config.json").write_text("{}")
    assert "'tinygrad-llm import hf --out runs/hf'" in error_of(capsys, "chat", "hf")
    say("a\n", "--regex", "[0-9]{9}", "-n", "3", code=2)
    assert "by --regex or --json-schema, -n (the shortest text has 9 tokens, " in say.err  # type: ignore[attr-defined]


def test_settings_of_the_model(folder: Path, say: Say) -> None:
    given = {"temperature": 0.6, "top_k": 50, "top_p": None, "no_repeat_ngram_size": 3,
             "eos_token_id": 1}
    assert defaults_of(given) == {"temperature": 0.6, "top_k": 50, "no_repeat_ngram": 3}
    assert defaults_of({**given, "top_k": 0, "do_sample": False}) == {
        "temperature": 0.0, "no_repeat_ngram": 3}
    with pytest.raises(UserError, match="generation_config.json: top_p must"):
        defaults_of({"top_p": 2.0})
    write_chat_run(folder / "own", generation_config='{"repetition_penalty": 9.0}')
    own = say("Hi\n", run="own")
    assert own != say("Hi\n") == say("Hi\n", "--repetition-penalty", "1", run="own")


def test_the_reader_may_stop_reading(say: Say, folder: Path) -> None:
    process = command("chat", "run", "--ends", "none", cwd=folder, stdin=subprocess.PIPE)
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write("Hi\n" * 50)
    process.stdin.close()
    process.stdout.read(5)
    process.stdout.close()
    assert process.wait(timeout=60) == 0 and "Traceback" not in process.stderr.read()
    process.stderr.close()


@pytest.mark.skipif(os.name != "posix", reason="there are no pseudo-terminals")
def test_ctrl_c_stops_the_answer_and_not_the_chat(folder: Path) -> None:
    import pty

    write_chat_run(folder / "run", context=30000)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tinygrad_llm", "chat", "run", "--ends", "none", "-n", "29000"],
        stdin=slave, stdout=slave, stderr=slave, text=True, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"})
    STARTED.append(process)
    os.close(slave)
    seen = b""

    def until(words: bytes) -> None:
        nonlocal seen
        deadline = time.monotonic() + 60
        while words not in seen:
            assert time.monotonic() < deadline and process.poll() is None, seen
            seen += os.read(master, 1 << 16)
        seen = seen.partition(words)[2]

    def type(text: bytes) -> None:
        os.write(master, text)

    def interrupt(words: bytes) -> None:
        """Send Ctrl-C until there is an answer: `input` may not see one that comes too early."""
        while words not in seen and process.poll() is None:
            process.send_signal(signal.SIGINT)
            if select.select([master], [], [], 2)[0]:
                until(words)
                return

    until(b"> ")
    type(b"Hi\n")
    until(b"Hi\r\n")
    while len(seen) < 100:  # of an answer
        seen += os.read(master, 1 << 16)
    process.send_signal(signal.SIGINT)
    until(b"(stopped)")
    until(b"> ")
    type(b"/save chat.json\n")
    until(b"(saved 2 messages")
    until(b"> ")
    interrupt(b"(Ctrl-C again")
    until(b"> ")
    type(b"/frobnicate\n")
    until(b"is no command")
    until(b"> ")
    interrupt(b"(Ctrl-C again")
    until(b"> ")
    interrupt(b"\n")
    assert process.wait(timeout=60) == 0
    os.close(master)
    user, answer = json.loads((folder / "chat.json").read_text("utf-8"))["messages"]
    assert user["content"] == "Hi" and len(answer["content"]) > 20
