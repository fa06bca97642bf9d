"""`tinygrad-llm chat`: a conversation with a run's model in the terminal."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..host.errors import UserError, did_you_mean, quoted, shortened
from ..host.files import write_in_one_step
from ..host.output import reader_is_gone
from .sampling import (
    add_sampling,
    add_weights,
    batcher_of,
    check_flags,
    flags_named,
    json_of,
    read,
    sampling_of,
)

if TYPE_CHECKING:
    from ..pretrained import Pretrained
    from ..sample import Batcher, Sampling

DEFAULTS: dict[str, Any] = {"temperature": 0.8, "max_tokens": 1024, "past_context": "stop"}
KEPT_BYTES = 1 << 29  # of keys and values of what was said before
OF_FILES = {"temperature": "temperature", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p",
            "typical_p": "typical_p", "repetition_penalty": "repetition_penalty",
            "no_repeat_ngram_size": "no_repeat_ngram"}
"""The options under generation_config.json's names."""
HELP = """\
/reset        forget the conversation, but for the system prompt
/undo         take back your last message and its answer
/regenerate   answer your last message anew
/save FILE    write the conversation as JSON, which --load reads; /save! writes over a file
/help         show this
/quit         leave; so do Ctrl-D, and Ctrl-C twice. Ctrl-C stops an answer.
//TEXT        say /TEXT: a message that begins with a slash"""

Encode = Callable[[list[dict[str, str]], bool], list[int]]  # messages, whether a reply begins


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = ("Talk with a model that was made for it, by its own chat template. What "
                          "was said before is\nkept, and not computed again. Lines come from "
                          "standard input, which may be a file.")
    parser.epilog = ("while it runs:\n" + "".join(f"  {line}\n" for line in HELP.splitlines())
                     + "\nexamples:\n  tinygrad-llm chat runs/smollm2 --system 'Answer in rhymes.'"
                     "\n  tinygrad-llm chat runs/smollm2 --temperature 0 < questions.txt")
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument("--checkpoint", metavar="WHICH", default="last",
                        help="last, best (by validation loss), a step, or ema, averages (last)")
    add_weights(parser)
    parser.add_argument("--system", metavar="TEXT", help="what the model is told first")
    parser.add_argument("--load", type=Path, metavar="FILE", help="go on with what /save wrote")
    parser.add_argument("--format", metavar="NAME",
                        help="plain, chatml, llama3 or gemma (the model's own template)")
    add_sampling(parser, "the model's files, or 0.8", "1024")
    parser.set_defaults(verb=chat)


def chat(args: argparse.Namespace) -> int:
    """Hold the conversation."""
    import numpy as np

    from ..pretrained.small_files import ends_of, with_beside
    from ..sample.prefixes import Prefixes
    from ..train.run import PRETRAINED, load_model

    check_flags(args, **DEFAULTS)
    messages = _loaded(args)
    model, tokenizer, _ = load_model(args.run, args.checkpoint, args.weights)
    found = with_beside(model, tokenizer, args.run / PRETRAINED)
    encode = _encoder(found, args)
    ends = ends_of(found.generation, model.config.vocab_size) | _end_of_turn(
        encode, tokenizer.special_tokens)
    sampling = sampling_of(args, model, tokenizer, **{
        **DEFAULTS, "ends": ends, **defaults_of(found.generation)})
    if sampling.seed is None:
        sampling = replace(sampling, seed=int(np.random.SeedSequence().generate_state(1)[0]))
    if args.system is not None:
        try:
            encode([{"role": "system", "content": args.system},
                    {"role": "user", "content": "a"}], True)
        except UserError as error:
            raise UserError(f"--system is not possible here; leave it out: {error}") from error
    batcher = batcher_of(args, model, tokenizer, rows=1, prefixes=Prefixes(KEPT_BYTES))
    return Conversation(batcher, sampling, encode, messages).hold()


def defaults_of(generation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that generation_config.json sets. UserError where one is impossible."""
    from ..sample import Sampling

    found = {ours: value for name, ours in OF_FILES.items()
             if (value := generation.get(name)) is not None and (name, value) != ("top_k", 0)}
    if generation.get("do_sample") is False:
        found = {name: found[name] for name in ("repetition_penalty", "no_repeat_ngram")
                 if name in found} | {"temperature": 0.0}
    try:
        Sampling(**found)
    except (ValueError, TypeError) as error:
        raise UserError(f"the model's generation_config.json: {error}; correct it there") from error
    return found


def _encoder(found: Pretrained, args: argparse.Namespace) -> Encode:
    """Return what makes ids of messages: by the format asked for, the template, or what fits."""
    from ..pretrained.small_files import special_names
    from ..text.chat import FORMATS, control_tokens, encode_chat
    from ..text.chat_template import ChatTemplate

    tokenizer, format = found.tokenizer, args.format
    assert tokenizer is not None
    if format is None and found.chat_template is not None:
        template = ChatTemplate(found.chat_template, special_names(found))
        return lambda messages, reply: template.encode(
            tokenizer, messages, special="text", reply=reply)[0].tolist()
    fit = [name for name in FORMATS if tokenizer.special_tokens.keys() >= {*control_tokens(name)}]
    if format is None and not fit:
        raise UserError(f"the run in {args.run} has no chat template, and its tokenizer the "
                        f"control tokens of no format that is known here; it was not made for "
                        f"chat: let it write with 'tinygrad-llm sample {quoted(args.run)}'")
    format = format or fit[0]
    encode_chat(tokenizer, [], format)  # raises where the tokenizer is not fit
    return lambda messages, reply: encode_chat(
        tokenizer, messages, format, special="text", reply=reply)[0].tolist()


def _end_of_turn(encode: Encode, special: Mapping[str, int]) -> frozenset[int]:
    """Return the special token that follows an answer, if there is one."""
    turn = {"role": "user", "content": "a"}
    with suppress(UserError):  # of a template that asks for more
        before = encode([turn], True)
        whole = encode([turn, {"role": "assistant", "content": "b"}], False)
        if whole[:len(before)] == before:
            return frozenset([id for id in whole[len(before):] if id in special.values()][:1])
    return frozenset()


def _loaded(args: argparse.Namespace) -> list[dict[str, str]]:
    """Return the messages to begin with."""
    from ..text.chat import checked_message

    messages: list[dict[str, str]] = []
    if args.load is not None:
        place = f"--load {args.load}"
        content = json_of(read(args.load, "--load").encode(), place)
        if not isinstance(content, dict) or not isinstance(content.get("messages"), list):
            raise UserError(f'{place}: expected {{"messages": [...]}}, as /save writes it')
        for number, message in enumerate(content["messages"]):
            role, text = checked_message(message, number)
            messages.append({"role": role, "content": text})
    if args.system is not None:
        if messages and messages[0]["role"] == "system":
            raise UserError(f"--system, and {args.load} has a system prompt; leave one out")
        messages.insert(0, {"role": "system", "content": args.system})
    return messages


class Conversation:
    """The messages of a conversation, and the commands that change it."""

    def __init__(self, batcher: Batcher, sampling: Sampling, encode: Encode,
                 messages: list[dict[str, str]]) -> None:
        self.batcher, self.sampling, self.encode = batcher, sampling, encode
        self.messages = messages
        self.left_out = 0  # of the oldest messages behind the system prompt
        self.answers = 0  # each has a seed of its own
        self.terminal = sys.stdin.isatty() and sys.stdout.isatty()

    def hold(self) -> int:
        """Answer lines until there are no more; return the exit code."""
        if self.terminal:
            with suppress(ImportError):  # Windows has none
                import readline  # noqa: F401, for `input`
            print("/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves")
        interrupted = False
        while not reader_is_gone():
            try:
                line = self._line()
                interrupted = False
                if line.split(maxsplit=1)[:1] == ["/quit"]:
                    return 0
                self._take(line)
            except EOFError:
                break
            except KeyboardInterrupt:
                if interrupted or not self.terminal:
                    break
                interrupted = True
                print("\n(Ctrl-C again, Ctrl-D or /quit leaves)")
            except UserError as error:
                if not self.terminal:
                    raise
                print(f"({error})")
        if self.terminal:
            print()
        return 0

    def _line(self) -> str:
        """Return the next line. UserError where it is no UTF-8."""
        try:
            line = input("> " if self.terminal else "")
            line.encode()  # under some locales other bytes come as lone surrogates
        except UnicodeError as error:
            raise UserError("standard input is not UTF-8; convert it") from error
        return line.removeprefix("\ufeff").strip()

    def _take(self, line: str) -> None:
        """Do what a line asks for."""
        command, _, rest = line.partition(" ")
        commands: dict[str, Callable[[str], None]] = {
            "/reset": self._reset, "/undo": self._undo, "/regenerate": self._regenerate,
            "/save": self._save, "/save!": self._save_over, "/help": lambda _: print(HELP)}
        if line.startswith("/") and not line.startswith("//"):
            if command not in commands:
                raise UserError(f"{command} is no command (to say it, write /{command})"
                                f"{did_you_mean(command, [*commands, '/quit'])}")
            commands[command](rest.strip())
        elif line:
            content = line[1:] if line.startswith("//") else line
            self.messages.append({"role": "user", "content": content})
            self._answer()

    def _answer(self) -> None:
        """Answer the last message; where that fails, take it back."""
        said, handle = self.messages, None
        sampling = replace(self.sampling, seed=(self.sampling.seed or 0) + self.answers)
        try:
            handle = self.batcher.add(self._prompt(), sampling, begins=True)
            with flags_named((UserError,)):
                for text in self.batcher.stream(handle):
                    print(text, end="", flush=True)
                    if reader_is_gone():
                        return
        except KeyboardInterrupt:
            if handle is not None:
                self.batcher.cancel(handle)
                print(handle.read(), end="")
            self._note("\n(stopped)" if handle and handle.text else
                       "\n(stopped before an answer; the conversation is as it was)")
        finally:
            self.answers += 1
            if handle is None or handle.error or not (handle.text or handle.reason != "cancelled"):
                said.pop()
            else:
                said.append({"role": "assistant", "content": handle.text})
        print()
        if handle is not None and handle.reason == "length":
            self._note(f"(cut after {len(handle.ids)} tokens: -n, or the context, has no more)")

    def _prompt(self) -> list[int]:
        """Return the ids of the conversation; the oldest turns are left out where it is full."""
        context, before = self.batcher.model.config.context, self.left_out
        room = min(self.sampling.max_tokens or context, context // 4)  # for an answer
        head = int(self.messages[0]["role"] == "system")
        while True:
            start = head + self.left_out
            ids = self.encode(self.messages[:head] + self.messages[start:], True)
            later = [place for place in range(start + 1, len(self.messages))
                     if self.messages[place]["role"] == "user"]
            if len(ids) + room <= context or not later:
                break
            self.left_out = later[0] - head
        if not ids:
            raise UserError("the chat template makes no tokens of the conversation; correct it")
        if len(ids) > context:
            raise UserError(f"the message has {len(ids)} tokens with what stands around it"
                            f"{' and the system prompt' * head}, and the model's context holds "
                            f"{context}; shorten it")
        if self.left_out > before:
            self._note(f"(the context of {context} tokens is full: the oldest {self.left_out} "
                       f"messages are left out)")
        return ids

    def _note(self, sentence: str) -> None:
        print(sentence, file=sys.stdout if self.terminal else sys.stderr)

    def _reset(self, _: str) -> None:
        self.messages = [m for m in self.messages[:1] if m["role"] == "system"]
        self.left_out = 0
        self._note("(a new conversation)")

    def _undo(self, _: str) -> None:
        self._check_answered("take back")
        while self.messages.pop()["role"] != "user":
            pass
        self.left_out = 0
        self._note("(your last message and its answer are taken back)")

    def _regenerate(self, _: str) -> None:
        self._check_answered("answer")
        before = [*self.messages]
        while self.messages[-1]["role"] != "user":
            self.messages.pop()
        asked = self.messages[-1]
        try:
            self._answer()
        finally:
            if not any(message is asked for message in self.messages):  # there is no new answer
                self.messages[:] = before

    def _check_answered(self, do: str) -> None:
        if not any(message["role"] == "user" for message in self.messages):
            raise UserError(f"there is no message to {do} yet")

    def _save(self, name: str, over: bool = False) -> None:
        if not name:
            raise UserError("/save needs the name of a file, such as /save chat.json")
        content = json.dumps({"messages": self.messages}, ensure_ascii=False, indent=2)
        try:
            path = Path(name).expanduser()
            if not (kept := path.exists() and not over):
                write_in_one_step(path, [f"{content}\n".encode()])
        except (OSError, ValueError, RuntimeError) as error:  # of a name, too: ~nobody, or a NUL
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"cannot write {shortened(name)}: {reason}; name another") from error
        if kept:
            raise UserError(f"{path} exists; /save! {name} writes over it")
        self._note(f"(saved {len(self.messages)} messages in {path})")

    def _save_over(self, name: str) -> None:
        self._save(name, over=True)
