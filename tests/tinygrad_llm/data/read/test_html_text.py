import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.data.read.html_text import DEEPEST_PAGE, declared_charset, is_too_deep, main_text

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


@pytest.mark.parametrize("piece", [
    "<div>", "<b>", "<p>", "<li>", "<table>", "<x>", "<", "<!--", "&", "<select><option>", "</div>",
    "<td>", "<a>", "<svg>",
])  # fmt: skip
def test_hostile_pages_take_little_time(piece: str) -> None:
    page = piece * 50_000
    start = time.process_time()
    assert is_too_deep(page) or len(main_text(page)) <= len(page)
    assert time.process_time() - start < 5


def test_too_deep_is_refused() -> None:
    with pytest.raises(ValueError, match="deep"):
        main_text("</div>" * DEEPEST_PAGE + "<div>" * (DEEPEST_PAGE + 1))
    assert not is_too_deep("<div></div><br><p><li>" * DEEPEST_PAGE)
    assert main_text("<i>" * 2000 + "x") == "x"


@pytest.mark.parametrize("page, name", [
    (b"<meta charset=UTF-8>", "utf-8"), (b'<META  charset="koi8-r">', "koi8-r"),
    (b'<meta http-equiv=x content="text/html; charset=cp1251">', "cp1251"),
    (b"<p>charset=x", None), (b" " * 1024 + b"<meta charset=x>", None),
])  # fmt: skip
def test_declared_charset(page: bytes, name: str | None) -> None:
    assert declared_charset(page) == name
