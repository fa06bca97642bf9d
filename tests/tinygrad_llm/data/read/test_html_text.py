import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.data.read.html_text import (
    DEEPEST_PAGE,
    declared_charset,
    main_text,
    refuse_hostile,
)
from tinygrad_llm.data.read.text_pieces import Refused

pytest.importorskip("selectolax")

PAGE = """<!doctype html><html><head><title>T</title><style>p {x}</style></head><body>
<header>Site name</header><nav><a href=/>Home</a></nav>
%s
<aside>Advert</aside><footer>Imprint</footer><script>alert(1)</script></body></html>"""


@pytest.mark.parametrize("main, text", [
    ("<main><h1>A</h1><p>b   c\nd</p></main>", "A\n\nb c d"),
    ("<article><header><h1>A</h1></header><p>b</article>", "A\n\nb"),
    ("<div role=main>a<br>b</div>", "a\nb"),
    ("<p>one<p>two", "one\n\ntwo"),
    ("<ul><li>a<li>b</ul>", "a\nb"),
    ("<pre>\n  x = 1\n\n  y\n</pre><p>z", "  x = 1\n\n  y\n\nz"),
    ("<pre><div>a</div><div>b</div>c<br>d</pre>", "a\nb\nc\nd"),
    ("<table><tr><td>1<td>2<tr><td>3</table>", "1 2\n3"),
    ("<p>a<b>b</b><i> c</i> &amp; &lt;d&gt; &eacute;</p>", "ab c & <d> é"),
    ("<h2>Title<a href=#x>¶</a></h2><p># one", "Title\n\n# one"),
    ("a<!-- b -->c<script>d</script>e", "ace"),
    ("<div><div><p>" + "The story itself. " * 20 + "</p></div></div><div><a>x</a>Menu</div>",
     ("The story itself. " * 20).strip()),
    ("<main></main><p>not in main", "not in main"),
    ("<article>one</article><article>two</article>", "one\n\ntwo"),
])  # fmt: skip
def test_main_text(main: str, text: str) -> None:
    assert main_text(PAGE % main) == text


@pytest.mark.parametrize("page", ["", " ", "<", "<html>", "\0", "<!--", "</p>", "<frameset>"])
def test_nothing_there(page: str) -> None:
    assert main_text(page) in ("", "<")


def test_plain_text_is_its_own_main_text() -> None:
    assert main_text("just words") == "just words"


def test_a_nul_does_not_end_the_text() -> None:
    assert main_text("<p>a\0b</p>") == "ab"


@given(st.lists(st.sampled_from(["<p>", "</p>", "<div>", "</div>", "<pre>", "</pre>", "<main>", "x",
    "<script>", "</script>", "<table>", "<td>", "<li>", "\n", " y ", "<!--", "-->", "<a>", "</a>",
    "<svg>", "<template>", "<nav>", "</nav>", "&", "<br>", "<select>"]), max_size=30).map("".join))
def test_any_markup_has_a_text(page: str) -> None:
    text = main_text(page)
    assert "\n\n\n" not in text and text == text.strip("\n")
    assert text.count("x") <= page.count("x")


def seconds_for(page: str) -> tuple[str, float]:
    """Return what refuses a page, "" where it is read, and how long that took."""
    start = time.process_time()
    try:
        main_text(page)
        reason = ""
    except Refused as refused:
        reason = refused.reason
    return reason, time.process_time() - start


@pytest.mark.parametrize("piece", [
    "<div>", "<b>", "<p>", "<li>", "<table>", "<x>", "<", "<!--", "&", "<select><option>", "</div>",
    "<td>", "<a>", "<svg>", "<nobr>", "<a><p></a>", "<template>", "<frameset>", "<b><i></b></i>",
    "<table><b>x", "<h1>x</h1>", "<button><p>", "<ruby><rt>", "<math><mi>", "<dt><b>", "&amp;",
    "&#xD800;", "<form><div></form>", "<svg><![CDATA[", "<html a=1>",
    "<p id=a><b>", "<a/b=", '<a b="',
])  # fmt: skip
def test_hostile_pages_take_little_time(piece: str) -> None:
    assert seconds_for(piece * 50_000)[1] < 5


HOSTILE = {
    "options": "<select>" + "<option>x" * 100_000,  # 86 s
    "closed options": "<select>" + "<option><b>x</b></option>" * 50_000,
    "attributes": "<p " + " ".join(f"a{i}=1" for i in range(100_000)) + ">x",  # 58 s
    "attributes without spaces": "<p a" + "".join(f'{i}="<>"' for i in range(100_000)) + ">x",
    "attributes of end tags": "</p " + " ".join(f"a{i}" for i in range(100_000)) + ">x",
    "one tag's attributes in many": "".join(f"<html a{i}=1>" for i in range(50_000)),
    "attributes of bodies": "".join(f"<body a{i}=1>" for i in range(50_000)),
    "fonts": "<p><font size=i>" * 3_000,  # 8 s
    "few fonts": "".join(f"<p><font size={i}>" for i in range(1_990)),  # 4 s, 2 million elements
    "fonts of each paragraph": "".join(f"<i a={i}>" for i in range(150)) + "<p>x" * 50_000,
    "fonts beside cells": "<td>" + "".join(f"<p><i a={i}></td>" for i in range(3_000)),
    "tags of no use far down": "<div>" * 3_900 + "</p>" * 400_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_pages_that_would_stall_the_parser_are_refused(name: str) -> None:
    reason, seconds = seconds_for(HOSTILE[name])
    assert reason in ("too-complex", "nested-too-deep") and seconds < 5


def test_furniture_in_furniture_is_not_measured_again_and_again() -> None:
    page = "<body><div>" + "<nav>" * 3_900 + "x" * 4_000_000
    assert seconds_for(page)[1] < 2  # one after the other: 4 s, and the more the longer the text


@pytest.mark.parametrize("page", [
    "<select>" + "<option>a city" * 10_000,
    "<table>" + "<tr><td><font size=2>x" * 3_000,  # as in the 1990s
    "<p><img src=data:image/png;base64," + "A/+=" * 300_000 + "> seen",
    "<p " + " ".join(f"data-{i}={i}" for i in range(3_000)) + ">x",
    "<script>" + "for (i=0; i<n; i++) { a['x'] = b; }\n" * 3_000 + "</script><p>x",
    "<a href=x>" * 3_000 + "x",
    "<ul>" + "<li><a href=/x>y</a> <b>z</b>" * 100_000,
    "<p>" * 100_000, "<br>x" * 100_000, "<dl>" + "<dt>a<dd>b" * 50_000,
], ids=range(10))  # fmt: skip
def test_large_pages_of_people_are_read(page: str) -> None:
    assert seconds_for(page)[0] == ""


def test_too_deep_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        main_text("</div>" * DEEPEST_PAGE + "<div>" * (DEEPEST_PAGE + 1))
    assert caught.value.reason == "nested-too-deep"
    refuse_hostile("<div></div><br><p><li>" * DEEPEST_PAGE)
    assert main_text("<i>" * 2000 + "x") == "x"


@pytest.mark.parametrize("page, name", [
    (b"<meta charset=UTF-8>", "utf-8"), (b'<META  charset="koi8-r">', "koi8-r"),
    (b'<meta http-equiv=x content="text/html; charset=cp1251">', "cp1251"),
    (b'<?xml version="1.0" encoding="Windows-1251"?><html>', "windows-1251"),
    (b"<p>charset=x", None), (b" " * 1024 + b"<meta charset=x>", None),
])  # fmt: skip
def test_declared_charset(page: bytes, name: str | None) -> None:
    assert declared_charset(page) == name
