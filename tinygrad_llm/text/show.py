"""Look at tokens: coloured in the terminal, and a page that replays the merges of any word."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from .algorithms.bpe import BPE
from .tokenizer import Tokenizer

# Backgrounds of neighbouring tokens: of the terminal's 256 colours, and of the page.
TERMINAL_COLOURS = (153, 194, 229, 223, 189)
PAGE_COLOURS = ("#bcd7f5", "#c5e8b7", "#f6d5a8", "#f3c1c6", "#d9c8f0")
SIGNS = {"\n": "⏎", "\t": "⇥", "\x7f": "␡", **{chr(code): chr(0x2400 + code) for code in range(32)
                                               if chr(code) not in "\t\n"}}


def divided(text: str, ids: Sequence[int], offsets: NDArray[np.int64]) -> str:
    """Return `text` with a bar between its tokens, for a file or a terminal without colours."""
    return "|".join(text[start:end] for start, end, _ in _character_spans(ids, offsets))


def coloured(text: str, ids: Sequence[int], offsets: NDArray[np.int64]) -> str:
    """Return `text` with a background for each token, for a terminal of 256 colours.

    Tokens that have parts of the same character share a colour: the character cannot be divided.
    """
    parts = []
    for i, (start, end, _) in enumerate(_character_spans(ids, offsets)):
        shown = text[start:end].replace("\n", "⏎\n").replace("\t", "⇥\t")
        colour = f"\x1b[30;48;5;{TERMINAL_COLOURS[i % len(TERMINAL_COLOURS)]}m"
        parts.append("\n".join(f"{colour}{line}\x1b[0m" if line else ""
                               for line in shown.split("\n")))
    return "".join(parts)


def _character_spans(
    ids: Sequence[int], offsets: NDArray[np.int64]
) -> list[tuple[int, int, list[int]]]:
    """Return (start, end, ids) of the characters, those of overlapping tokens as one."""
    spans: list[tuple[int, int, list[int]]] = []
    for id, (start, end) in zip(ids, offsets.tolist(), strict=True):
        if spans and start < spans[-1][1]:
            first, last, before = spans[-1]
            spans[-1] = (first, max(last, end), [*before, id])
        else:
            spans.append((start, end, [id]))
    return spans


def tokens_page(
    tokenizer: Tokenizer, text: str, ids: Sequence[int], offsets: NDArray[np.int64]
) -> str:
    """Return a page of its own, without network or libraries: the tokens of `text`, their ids,
    and, for byte-level BPE, a field for any word whose merges are replayed step by step."""
    tokens = "".join(_token_html(tokenizer, text[start:end], held, i)
                     for i, (start, end, held) in enumerate(_character_spans(ids, offsets)))
    characters, size = len(text), len(text.encode("utf-8", "replace"))
    facts = (f"{characters:,} characters, {size:,} bytes, {len(ids):,} tokens of "
             f"{tokenizer.vocab_size:,} kinds: {size / max(len(ids), 1):.2f} bytes a token")
    replay, data = "", "null"
    if isinstance(tokenizer.model, BPE):
        replay, data = REPLAY_HTML, script_safe(json.dumps(_merge_table(tokenizer.model)))
    parts = {"FACTS": html.escape(facts), "TOKENS": tokens, "REPLAY": replay, "DATA": data}
    # One pass: the text that is put in may hold such a name itself.
    return re.sub("@([A-Z]+)@", lambda match: parts[match[1]], PAGE_HTML)


def _token_html(tokenizer: Tokenizer, shown: str, ids: Sequence[int], i: int) -> str:
    title = " + ".join(f"{id} {tokenizer.token(id)}" for id in ids)
    shown = html.escape(shown).replace("\n", "⏎\n") or "∅"
    count = f"<sub>{len(ids)}</sub>" if len(ids) > 1 else ""
    return (f'<span class="token" style="background:{PAGE_COLOURS[i % len(PAGE_COLOURS)]}" '
            f'title="{html.escape(title)}">{shown}{count}</span>')


def spelling(tokenizer: Tokenizer, id: int) -> str:
    """Return a token as a label shows it: its text, with signs for what cannot be seen.

    It is that of a token behind another one, whose space no decoder takes away. Part of a character
    is shown as files spell it, an id that is no token as its number.
    """
    try:
        text = tokenizer.token(id)
    except ValueError:
        return f"[{id}]"
    if tokenizer.decoder is not None:
        one, two = (tokenizer.decode_bytes([id] * count) for count in (1, 2))
        with suppress(UnicodeDecodeError):
            text = two[len(one):].decode()
    return "".join(SIGNS.get(c) or (c if c.isprintable() else f"\\u{ord(c):04x}") for c in text)


def _merge_table(model: BPE) -> dict[str, object]:
    """Return the data of the page's script: token spellings, and (left, right, rank, joined)."""
    return {"tokens": {id: token for token, id in model.vocab.items()},
            "whole": model.ignore_merges,
            "merges": [[left, right, rank, model.made[rank]]
                       for (left, right), rank in model.ranks.items()]}


def script_safe(text: str) -> str:
    """Return JSON, of any strings, that may stand in a script element."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


REPLAY_HTML = """<h2>How a word is put together</h2>
<p>Begin with the bytes. Of all neighbours that a merge joins, those of the lowest rank are joined,
the leftmost of equals first, until none is left. Try a word of your own; a space before it
matters.</p>
<p><input id="word" value=" tokenization" size="30" aria-label="word">
<button id="first">first</button> <button id="back">back</button>
<button id="next">next</button> <button id="last">last</button>
<button id="play">play</button> <span id="step"></span></p>
<div id="row"></div><p id="why"></p>"""

PAGE_HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Tokens</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.6 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: 15px/1.9 ui-monospace, monospace; }
.token, .part { border-radius: 4px; color: #111; padding: 2px 1px; }
.token sub { font-size: 9px; }
#row { min-height: 3rem; }
.part { display: inline-block; background: #bcd7f5; padding: 4px 8px; margin: 2px;
        font: 15px ui-monospace, monospace; white-space: pre; }
.part.joins { outline: 2px solid #d9480f; }
.part.new { background: #c5e8b7; }
.part small { display: block; color: #555; font-size: 11px; }
</style></head><body>
<h1>Tokens</h1><p>@FACTS@. Point at a token to see its id.</p>
<pre>@TOKENS@</pre>
@REPLAY@
<script type="application/json" id="data">@DATA@</script>
<script>
const data = JSON.parse(document.getElementById("data").textContent);
if (data) {
  const byteOf = {}, idOf = {}, ranks = new Map();
  for (const [id, token] of Object.entries(data.tokens)) idOf[token] = +id;
  for (const [left, right, rank, made] of data.merges) ranks.set(left + " " + right, [rank, made]);
  let printable = [...Array(94).keys()].map(i => i + 33)
    .concat([...Array(12).keys()].map(i => i + 161), [...Array(82).keys()].map(i => i + 174));
  let other = 256;
  const letter = b => printable.includes(b) ? String.fromCharCode(b)
    : String.fromCharCode(256 + [...Array(b).keys()].filter(c => !printable.includes(c)).length);
  for (let b = 0; b < 256; b++) byteOf[letter(b)] = b;
  const shown = id => {
    const bytes = new Uint8Array([...data.tokens[id]].map(c => byteOf[c]));
    const text = new TextDecoder().decode(bytes);
    return text.includes("\\ufffd") ? data.tokens[id]
      : text.replaceAll(" ", "␣").replaceAll("\\n", "⏎");
  };
  const history = word => {
    const bytes = [...new TextEncoder().encode(word)];
    let ids = bytes.map(b => idOf[letter(b)]);
    const steps = [{ids, at: -1}];
    const whole = idOf[bytes.map(letter).join("")];
    if (data.whole && whole !== undefined && bytes.length > 1)
      return steps.concat({ids: [whole], at: 0, rank: null});
    for (;;) {
      let best = null;
      for (let i = 0; i + 1 < ids.length; i++) {
        const found = ranks.get(ids[i] + " " + ids[i + 1]);
        if (found && (!best || found[0] < best.rank))
          best = {at: i, rank: found[0], made: found[1]};
      }
      if (!best) return steps;
      steps[steps.length - 1].next = best.at;
      ids = [...ids.slice(0, best.at), best.made, ...ids.slice(best.at + 2)];
      steps.push({ids, at: best.at, rank: best.rank});
    }
  };
  const $ = id => document.getElementById(id);
  let steps = [], step = 0, timer = null;
  const draw = () => {
    const s = steps[step];
    $("row").replaceChildren(...s.ids.map((id, i) => {
      const part = document.createElement("span"), small = document.createElement("small");
      part.className = "part" + (i === s.at ? " new" : "")
        + (s.next !== undefined && (i === s.next || i === s.next + 1) ? " joins" : "");
      part.textContent = id === undefined ? "no token" : shown(id);
      small.textContent = id === undefined ? "" : id;
      part.append(small);
      return part;
    }));
    $("step").textContent = `step ${step} of ${steps.length - 1}`;
    $("why").textContent = step === 0 ? "The bytes." : s.rank === null
      ? "The whole word is a token, which this vocabulary takes at once."
      : `Joined by the merge of rank ${s.rank}.`;
  };
  const go = to => { step = Math.max(0, Math.min(steps.length - 1, to)); draw(); };
  const stop = () => { clearInterval(timer); timer = null; $("play").textContent = "play"; };
  $("word").oninput = () => { stop(); steps = history($("word").value); go(0); };
  $("first").onclick = () => { stop(); go(0); };
  $("back").onclick = () => { stop(); go(step - 1); };
  $("next").onclick = () => { stop(); go(step + 1); };
  $("last").onclick = () => { stop(); go(steps.length - 1); };
  $("play").onclick = () => {
    if (timer) return stop();
    if (step === steps.length - 1) go(0);
    $("play").textContent = "pause";
    timer = setInterval(() => step < steps.length - 1 ? go(step + 1) : stop(), 700);
  };
  $("word").oninput();
}
</script></body></html>
"""
