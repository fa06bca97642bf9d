"""The report of a build as one HTML page that needs nothing beside it.

Whatever comes from a document, a file name or a setting is escaped where it enters the page: text
to be trained on may hold <script>. Plots are SVG, drawn by the few lines at the end; colours
follow the reader's light or dark setting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

Report = Mapping[str, Any]

STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --paper: #fdfdfb; --soft: #667085;
  --line: #dfe3ea; --panel: #f4f5f2; --bar: #3b6ea8; --second: #b8632f }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ec; --paper: #14171c; --soft: #98a2b3;
  --line: #303742; --panel: #1c2129; --bar: #6ba3e0; --second: #e0975f } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem; margin-bottom: .3rem } h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem }
p.lead { color: var(--soft); max-width: 46rem; margin-top: 0 }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th { text-align: left; font-weight: 600; color: var(--soft) }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
pre { background: var(--panel); padding: .5rem .7rem; margin: .3rem 0 .8rem; border-radius: 4px;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem }
.name { color: var(--soft); font-size: .85rem; overflow-wrap: anywhere }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem }
.tokens span { display: inline-block; background: var(--panel); border-radius: 4px;
  padding: 0 .4rem; margin: 0 .35rem .35rem 0; font: .85rem ui-monospace, monospace;
  white-space: pre }
.tokens b { color: var(--soft); font-weight: 400; margin-left: .4rem }
svg { width: 100%; height: auto } svg text { fill: var(--ink); font: 12px system-ui, sans-serif }
.first { fill: var(--bar) } .second { fill: var(--second) } details { margin: .4rem 0 }
@media (max-width: 40rem) { .pair { grid-template-columns: 1fr } }
"""


def render_page(report: Report) -> str:
    """Return the page for a report (see report.summarize)."""
    sections = "".join(
        f"<section><h2>{title}</h2>\n{content}</section>\n"
        for title, content in ((title, make(report)) for title, make in SECTIONS) if content)
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>Report of a data build</title><style>{STYLE}</style></head><body>\n"
            f"<h1>Report of a data build</h1>\n{_lead(report)}\n{sections}</body></html>\n")


def _lead(report: Report) -> str:
    read, kept = (next(row for row in report["funnel"] if row["stage"] == stage)
                  for stage in ("read", "decontaminated"))
    tokens = report["tokens"]
    given = ("a tokenizer that was given" if report["settings"]["tokenizer"]
             else "a tokenizer trained on the training part")
    return (f'<p class="lead">Of {_count(read["documents"], "document")} '
            f'({_bytes(read["bytes"])}) that were read, {kept["documents"]:,} '
            f'({_bytes(kept["bytes"])}) were kept, as {tokens["train"]["tokens"]:,} tokens to '
            f'train on and {tokens["val"]["tokens"]:,} to validate on. They come from {given}, '
            f'with {tokens["vocab_size"]:,} ids; a token stands for '
            f'{tokens["bytes_per_token"]:.2f} bytes of text.</p>')


def _funnel(report: Report) -> str:
    rows = report["funnel"]
    whole_documents = max(1, rows[0]["documents"])
    whole_bytes = max(1, rows[0]["bytes"])
    table = _table(["after", "documents", "", "bytes", ""], [
        [row["stage"], f'{row["documents"]:,}', _share(row["documents"], whole_documents),
         _bytes(row["bytes"]), _share(row["bytes"], whole_bytes)] for row in rows])
    bars = [(row["stage"], [row["documents"] / whole_documents, row["bytes"] / whole_bytes])
            for row in rows]
    return table + _across(bars, ("documents", "bytes"))


def _sources(report: Report) -> str:
    return _table(
        ["source", "documents read", "kept", "bytes read", "kept", "tokens", "bytes a token"],
        [[name, f'{entry["read"]["documents"]:,}', f'{entry["kept"]["documents"]:,}',
          _bytes(entry["read"]["bytes"]), _bytes(entry["kept"]["bytes"]),
          f'{entry["tokens"]:,}', f'{entry["bytes_per_token"]:.2f}']
         for name, entry in report["sources"].items()])


def _dropped(report: Report) -> str:
    dropped = report["dropped"]
    if not dropped:
        return "<p>No rule refused any document.</p>"
    table = _table(["rule", "refuses", "documents", "", "bytes"], [
        [code, entry["why"], f'{entry["documents"]:,}', f'{entry["share"]:.1%}',
         _bytes(entry["bytes"])] for code, entry in dropped.items()], labels=2)
    return table + "".join(_examples(f"Examples of {code}", entry["examples"])
                           for code, entry in dropped.items())


def _unreadable(report: Report) -> str:
    reasons = report["unreadable"]
    return _table(["reason", "what it counts", "for example", "number"], [
        [code, entry["why"], ", ".join(entry["examples"]), f'{entry["count"]:,}']
        for code, entry in reasons.items()], labels=3) if reasons else ""


def _duplicates(report: Report) -> str:
    kinds = report["duplicates"]
    parts = [_table(["kind", "documents", "bytes"], [
        [kind, f'{entry["documents"]:,}', _bytes(entry["bytes"])]
        for kind, entry in kinds.items()])]
    for kind, entry in kinds.items():
        for pair in entry["examples"]:
            parts.append(
                f'<details><summary>{escape(kind)}: {escape(pair["name"])}</summary>'
                f'<div class="pair"><div><div class="name">left out: {escape(pair["name"])}</div>'
                f'{_pre(pair["text"])}</div><div>'
                f'<div class="name">kept: {escape(pair["earlier_name"])}</div>'
                f'{_pre(pair["earlier_text"])}</div></div></details>')
    return "\n".join(parts)


def _contaminated(report: Report) -> str:
    found = report["contaminated"]
    if not report["settings"]["decontaminate"]:
        return ""
    return (f'<p>{_count(found["documents"], "document")} ({_bytes(found["bytes"])}) shared a '
            "stretch of words with an evaluation file.</p>"
            + _examples("What was shared", found["examples"]))


def _languages(report: Report) -> str:
    return _counts(report["languages"], "language", "documents")


def _personal(report: Report) -> str:
    if report["settings"]["keep_pii"]:
        return "<p>Addresses and numbers of persons were left as they are.</p>"
    return _counts(report["personal"], "masked", "places") or "<p>None was found.</p>"


def _lengths(report: Report) -> str:
    counts = report["lengths"]
    first = next((k for k, count in enumerate(counts) if count), 0)
    names = ["0" if k == 0 else str(2 ** (k - 1)) if k < 11 else f"{2 ** (k - 11)}k"
             for k in range(len(counts))]
    return (_upright(list(zip(names[first:], counts[first:], strict=True)))
            + "<p>Tokens in a document; each bar reaches to twice the number under it (1k is "
              "1024).</p>")


def _tokens(report: Report) -> str:
    tokens = report["tokens"]
    end = "none" if tokens["end_of_text"] is None else str(tokens["end_of_text"])
    table = _table(["what", "number"], [
        *([name, f"{value:,}"] for name, value in [
            ("tokens to train on", tokens["train"]["tokens"]),
            ("tokens to validate on", tokens["val"]["tokens"]),
            ("vocabulary", tokens["vocab_size"]),
            ("ids that no document has", tokens["never_used"])]),
        ["bytes a token", f'{tokens["bytes_per_token"]:.3f}'], ["id that ends a text", end]])
    shown = "".join(f'<span>{escape(repr(entry["text"])[1:-1])}<b>{entry["count"]:,}</b></span>'
                    for entry in tokens["most_frequent"])
    return f'{table}<p>The most frequent:</p><div class="tokens">{shown}</div>'


def _settings(report: Report) -> str:
    def shown(value: Any) -> str:
        if isinstance(value, (list, tuple)):
            return ", ".join(map(str, value)) or "none"
        return {None: "none", True: "yes", False: "no"}.get(value, str(value)) \
            if value is None or isinstance(value, bool) else str(value)

    rows = [[name.replace("_", " "), shown(value)] for name, value in report["settings"].items()]
    versions = [[name, version] for name, version in report["versions"].items()]
    return (_table(["setting", "value"], rows, labels=2)
            + _table(["program", "version"], versions, labels=2))


SECTIONS: list[tuple[str, Callable[[Report], str]]] = [
    ("From stage to stage", _funnel), ("Sources", _sources),
    ("What could not be read", _unreadable), ("What the rules refused", _dropped),
    ("Duplicates", _duplicates), ("Text of evaluation files", _contaminated),
    ("Languages", _languages), ("Personal data", _personal),
    ("Length of documents", _lengths), ("Tokens", _tokens), ("Settings and versions", _settings)]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], labels: int = 1) -> str:
    """Return a table of escaped cells, the first `labels` columns text, the others numbers."""
    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(f'<{tag}{" class=number" if i >= labels else ""}>{escape(cell)}</{tag}>'
                       for i, cell in enumerate(row))

    body = "".join(f"<tr>{cells('td', row)}</tr>\n" for row in rows)
    return (f'<div class="scroll"><table><thead><tr>{cells("th", head)}</tr></thead>'
            f"<tbody>\n{body}</tbody></table></div>\n")


def _counts(counts: Mapping[str, int], what: str, number: str) -> str:
    whole = max(1, sum(counts.values()))
    return _table([what, number, ""], [[name, f"{count:,}", _share(count, whole)]
                                       for name, count in counts.items()]) if counts else ""


def _examples(title: str, examples: Sequence[Mapping[str, str]]) -> str:
    shown = "".join(f'<div class="name">{escape(example["name"])}</div>{_pre(example["text"])}'
                    for example in examples)
    return f"<details><summary>{escape(title)}</summary>{shown}</details>\n" if shown else ""


def _pre(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def _across(rows: Sequence[tuple[str, Sequence[float]]], legend: Sequence[str]) -> str:
    """Return bars from left to right, two a row, for shares in [0, 1]."""
    parts = []
    for i, (name, shares) in enumerate(rows):
        y = 34 * i
        parts.append(f'<text x="112" y="{y + 20}" text-anchor="end">{escape(name)}</text>')
        for j, (share, kind) in enumerate(zip(shares, ("first", "second"), strict=True)):
            parts.append(f'<rect class="{kind}" x="120" y="{y + 4 + 12 * j}" rx="2" '
                         f'width="{max(560 * share, 1 if share else 0):.1f}" height="10"/>')
    y = 34 * len(rows)
    for j, (name, kind) in enumerate(zip(legend, ("first", "second"), strict=True)):
        parts.append(f'<rect class="{kind}" x="{120 + 110 * j}" y="{y + 6}" width="10" '
                     f'height="10"/><text x="{136 + 110 * j}" y="{y + 15}">{escape(name)}</text>')
    return _svg(700, y + 24, parts)


def _upright(bars: Sequence[tuple[str, int]]) -> str:
    """Return bars side by side, each with its count above and its name below."""
    highest = max((count for _, count in bars), default=0) or 1
    step = 690 / max(len(bars), 8)
    parts = []
    for i, (name, count) in enumerate(bars):
        height, x = 150 * count / highest, step * i
        parts.append(f'<rect class="first" x="{x + 4:.1f}" y="{170 - height:.1f}" '
                     f'width="{step - 4:.1f}" height="{height:.1f}"/>'
                     f'<text x="{x + step / 2 + 2:.1f}" y="{164 - height:.1f}" '
                     f'text-anchor="middle">{_short(count)}</text>'
                     f'<text x="{x + 4:.1f}" y="186">{escape(name)}</text>')
    return _svg(700, 194, parts)


def _svg(width: int, height: int, parts: Iterable[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>\n'


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _bytes(number: float) -> str:
    """Return a size as people read it, in powers of 1000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:,} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"


def _short(number: int) -> str:
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)
