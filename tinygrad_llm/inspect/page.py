"""A `Look` as one HTML page that needs nothing beside it, and no network.

The page's text, style and script stand beside this file. What changes from page to page is one
JSON text in it: labels of tokens, which a model may have made of anything, and arrays. An array is
base64 of zlib's compression of little-endian numbers: integers ("u4"), float32 ("f4"), or
probabilities on a scale of square roots ("s1", "s2"), which keeps small ones apart:

    q = round(255 sqrt(p)) in a byte,  p = (q / 255)**2, off by at most sqrt(p) / 255 + 1e-5
    q = round(65535 sqrt(p)) in two

Of attention only the keys up to each query's own place are there, row by row.
"""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64encode
from collections.abc import Callable
from html import escape
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np

from ..host.files import write_in_one_step
from ..text.show import script_safe
from .observe import Look

MOST_WEIGHTS = 1 << 27  # of attention, in all
SCALES = {"s1": 255, "s2": 65535}


def page(look: Look, label: Callable[[int], str], title: str, facts: str = "") -> str:
    """Return the page; `label` returns what an id is shown as, `facts` is the line below the title.

    No label, title or fact can become markup.
    """
    parts = {"TITLE": escape(title), "FACTS": escape(facts), "STYLE": _file("page.css"),
             "SCRIPT": _file("page.js"), "DATA": script_safe(json.dumps(_data(look, label)))}
    # One pass: the text that is put in may hold such a name itself.
    return re.sub("@([A-Z]+)@", lambda match: parts[match[1]], _file("page.html"))


def write(path: str | Path, look: Look, label: Callable[[int], str], title: str, facts: str = ""
          ) -> None:
    """Write the page to `path` in one step."""
    write_in_one_step(path, [page(look, label, title, facts).encode()])


def most_tokens(layers: int, heads: int) -> int:
    """Return how long a text may be for a page of some 100 MB, which browsers still open."""
    return isqrt(2 * MOST_WEIGHTS // (layers * heads))


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _data(look: Look, label: Callable[[int], str]) -> dict[str, Any]:
    layers, heads, size, _ = look.attention.shape
    ids, places = np.unique(np.concatenate([look.ids, look.lens_ids.ravel()]), return_inverse=True)
    seen = np.tril_indices(size)
    norms = _by_group(look.gradients)
    return {
        "layers": layers, "heads": heads, "vocabulary": look.vocabulary,
        "labels": [label(int(id)) for id in ids], "ids": ids.tolist(),
        "text": places[:size].tolist(), "ranks": look.ranks.tolist(),
        "attention": [packed(of_layer[:, *seen], "s1") for of_layer in look.attention],
        "lens": packed(places[size:], "u4"), "lens_p": packed(look.lens_p, "s2"),
        "log_p": packed(look.log_p, "f4"),
        "fields": {name: packed(getattr(look, name), "f4") for name in (
            "stream", "attention_out", "mlp_out", "stream_gradients")},
        "groups": list(norms), "gradients": packed(np.array(list(norms.values())), "f4"),
    }


def packed(array: np.ndarray[Any, Any], kind: str) -> dict[str, str]:
    """Return an array of one of the module's kinds as the page holds it."""
    if kind in SCALES:
        array = np.rint(SCALES[kind] * np.sqrt(np.nan_to_num(array)))
    data = zlib.compress(array.astype(f"<{kind.replace('s', 'u')}", order="C").tobytes())
    return {"kind": kind, "data": b64encode(data).decode()}


def _by_group(gradients: dict[str, float]) -> dict[tuple[int, str], float]:
    """Return norms by layer, -1 outside of any, and part: of a weight and its bias together."""
    groups: dict[tuple[int, str], float] = {}
    for name, norm in gradients.items():
        found = re.fullmatch(r"h\.(\d+)\.(.+?)(?:\.weight|\.bias)?", name)
        key = (int(found[1]), found[2]) if found else (-1, re.sub(r"\.(weight|bias)$", "", name))
        groups[key] = float(np.hypot(groups.get(key, 0.0), norm))
    return groups
