"""The page is whole, asks for nothing, runs no text, and its data are the arrays."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zlib
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from html_pages import Reader
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.inspect import Look, most_tokens, observe, page, write
from tinygrad_llm.inspect.page import packed
from tinygrad_llm.models import GPT, GPTConfig

LOOK = observe(GPT(GPTConfig(vocab_size=11, context=9, layers=2, heads=4, width=16), seed=3),
               [3, 1, 4, 1, 5, 9, 2])
KINDS = {"s1": "<u1", "s2": "<u2", "u4": "<u4", "f4": "<f4"}


def label(id: int) -> str:
    return f"token {id}"


def data_of(text: str) -> dict[str, Any]:
    found = re.search('<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def unpacked(one: dict[str, str]) -> Any:
    """The numbers of an array in the page, as its script reads them."""
    array = np.frombuffer(zlib.decompress(b64decode(one["data"])), KINDS[one["kind"]])
    return (array / {"s1": 255, "s2": 65535}[one["kind"]]) ** 2 if one["kind"][0] == "s" else array


def test_it_needs_nothing_beside_it() -> None:
    text = page(LOOK, label, "a title", "some facts")
    reader = Reader(text)
    assert "a title" in reader.shown and "some facts" in reader.shown
    assert "://" not in text and "url(" not in text and "@import" not in text
    assert not reader.tags & {"link", "img", "iframe", "object", "base"}
    assert not {name for name in reader.attributes if name.startswith("on")} | (
        reader.attributes & {"src", "srcset", "action"})
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', text))
    assert "default-src 'none'" in text, "and the browser is told so"
    named = set(re.findall(r'\$\("([\w-]+)"\)', text))
    assert len(named) > 10 and named <= set(re.findall(r'\bid="([\w-]+)"', text))
    assert not re.search("@[A-Z]+@", text)


def test_its_data_are_the_arrays() -> None:
    data = data_of(page(LOOK, label, "a title"))
    layers, heads, size, _ = LOOK.attention.shape
    assert (data["layers"], data["heads"], data["vocabulary"]) == (layers, heads, 11)
    assert [data["labels"][place] for place in data["text"]] == list(map(label, LOOK.ids))
    assert data["ranks"] == LOOK.ranks.tolist()
    p = np.zeros(LOOK.attention.shape)
    for layer, one in enumerate(data["attention"]):
        rows = unpacked(one).reshape(heads, -1)
        for i in range(size):  # row after row, each up to its own place
            p[layer, :, i, : i + 1] = rows[:, i * (i + 1) // 2 : (i + 1) * (i + 2) // 2]
    assert (np.abs(p - LOOK.attention) <= np.sqrt(LOOK.attention) / 255 + 1e-5).all()
    lens = np.array(data["ids"])[unpacked(data["lens"])].reshape(LOOK.lens_ids.shape)
    np.testing.assert_array_equal(lens, LOOK.lens_ids)
    np.testing.assert_allclose(unpacked(data["lens_p"]), LOOK.lens_p.ravel(), rtol=1e-4)
    np.testing.assert_array_equal(unpacked(data["log_p"]), LOOK.log_p.ravel())
    for name, one in data["fields"].items():
        np.testing.assert_array_equal(unpacked(one), getattr(LOOK, name).ravel())
    norms = dict(zip(map(tuple, data["groups"]), unpacked(data["gradients"]), strict=True))
    of = LOOK.gradients
    assert norms[1, "attn.qkv"] == pytest.approx(
        np.hypot(of["h.1.attn.qkv.weight"], of["h.1.attn.qkv.bias"]))
    assert norms[-1, "wte"] == pytest.approx(of["wte.weight"])
    assert (norms_sum := sum(n * n for n in norms.values())) == pytest.approx(
        sum(n * n for n in of.values())), norms_sum


@given(st.lists(st.floats(0, 1), min_size=1))
def test_probabilities_keep_what_the_scale_says(p: list[float]) -> None:
    array = np.array(p)
    assert (np.abs(unpacked(packed(array, "s1")) - array) <= np.sqrt(array) / 255 + 1e-5).all()
    assert (np.abs(unpacked(packed(array, "s2")) - array) <= np.sqrt(array) / 65535 + 1e-9).all()


def test_texts_that_fit_on_a_page() -> None:
    assert most_tokens(32, 32) == 512 and most_tokens(1, 1) > 16000


HOSTILE = ["</script><script>alert(1)</script>", "<!--<script>", "@DATA@ @TITLE@", "\u2028\u202e",
           "\ud800", "&lt;\"'\\", "]]>", ""]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_becomes_markup(text: str) -> None:
    plain, made = Reader(page(LOOK, label, "t", "f")), page(LOOK, lambda id: text + str(id), text,
                                                            text)
    reader = Reader(made)
    assert (reader.tags, reader.attributes) == (plain.tags, plain.attributes)
    assert made.count("<script") == made.count("</script") == 2, "the page's own"
    assert set(data_of(made)["labels"]) == {f"{text}{id}" for id in data_of(made)["ids"]}
    assert text in reader.shown
    made.encode(errors="surrogatepass")


def test_the_script_writes_text_and_never_markup() -> None:
    text = page(LOOK, label, "t")
    script = text[text.rindex("<script>"):]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|fetch\(|"
                         r"XMLHttp|WebSocket|import\(", script)


@pytest.mark.parametrize("look", [
    observe(GPT(GPTConfig(5, 3, 1, 1, 4)), [2]),
    Look(**{**vars(LOOK), "log_p": np.full_like(LOOK.log_p, np.nan),
            "lens_p": np.full_like(LOOK.lens_p, np.nan), "gradients": {"h.0.x": np.inf}}),
], ids=["one token", "a model that diverged"])
def test_unusual_looks(look: Look) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    text = page(look, label, "t")
    Reader(text)
    json.loads(json.dumps(data_of(text)), parse_constant=refuse)


@pytest.mark.skipif(not shutil.which("chromium"), reason="there is no Chromium")
def test_a_browser_draws_it(tmp_path: Path) -> None:
    write(tmp_path / "page.html", LOOK, lambda id: HOSTILE[id % 4], "</title>")
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=9000",
         f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--dump-dom",
         (tmp_path / "page.html").as_uri()],
        capture_output=True, text=True, timeout=60, check=True)
    assert 'data-ready="yes"' in done.stdout
    assert "CONSOLE" not in done.stderr, "an error of the script"


def test_it_is_written_in_one_step(tmp_path: Path) -> None:
    write(tmp_path / "page.html", LOOK, label, "Ein Täßt")
    assert (tmp_path / "page.html").read_bytes().decode() == page(LOOK, label, "Ein Täßt")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
