"""The main text of a web page, line by line, without what stands around it on every page.

The parser is selectolax (Lexbor). The rule for what the main text is, is ours and short: the
elements whose names say that they are furniture go; of the rest it is <main>, a lone <article>,
or the block found by walking down from <body> for as long as one block holds nearly all the words
that are not links.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...host.errors import UserError

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

DROPPED = frozenset([
    "head", "script", "style", "noscript", "template", "nav", "header", "footer", "aside",
    "button", "select", "textarea", "svg", "iframe", "object", "canvas", "-comment",
])  # fmt: skip
BLOCKS = frozenset([  # what starts on a line of its own
    "address", "blockquote", "body", "br", "caption", "center", "dd", "details", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "form", "h1", "h2", "h3", "h4", "h5", "h6",
    "header", "hgroup", "hr", "html", "li", "main", "ol", "option", "p", "pre", "section",
    "summary", "table", "tbody", "tfoot", "thead", "tr", "ul", "article",
])  # fmt: skip
SPACED = frozenset([  # what has a blank line before it and after it
    "article", "blockquote", "dl", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre",
    "section", "table", "ul",
])  # fmt: skip
CONTAINERS = frozenset([
    "div", "section", "article", "main", "center", "form", "table", "tbody", "tr", "td",
])  # fmt: skip
DENSE_SHARE = 0.9  # of the words that a block must hold to be gone into
PERMALINKS = frozenset("#§¶")  # what documentation puts behind each heading
LEVELS = 24  # how far down: pages nest about ten deep
CHARSET = re.compile(rb"<meta\s[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)


DEEPEST_PAGE = 4000
TAG = re.compile(  # of the elements that their parents' or the next one's tag does not close
    r"<(/?)(?!(?i:p|li|d[dt]|t[rdh]|tbody|option|br|hr|img|input|meta|link|wbr|col|area)\b)"
    r"([A-Za-z][\w-]*)"
)


def main_text(page: str) -> str:
    """Return the main text of an HTML page: a line a block, blank lines around paragraphs.

    Inside <pre> line ends and indentation stay. Raises ValueError for a page that nests too
    deep, UserError without selectolax.
    """
    if is_too_deep(page):
        raise ValueError(f"elements nest more than {DEEPEST_PAGE} deep")
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError:
        raise UserError(
            'reading HTML needs selectolax: pip install "tinygrad_llm[data]"'
        ) from None
    # Lexbor's text would end at a NUL.
    root, dropped = _main_element(LexborHTMLParser(page.replace("\0", "")))
    return _text_of_element(root, dropped) if root else ""


def declared_charset(page: bytes) -> str | None:
    """Return the name in the page's <meta charset>, sought where HTML wants it: in 1,024 bytes."""
    found = CHARSET.search(page, 0, 1024)
    return found[1].decode("ascii", "replace").lower() if found else None


def _main_element(tree: LexborHTMLParser) -> tuple[LexborNode | None, frozenset[str]]:
    """Return the element that holds the main text, and the tags to leave out within it.

    A <header> within <main> or <article> is the text's title, elsewhere it is the page's.
    """
    for selector in ("main", "[role=main]", "article"):
        found = tree.css(selector)
        if len(found) == 1 and found[0].text(strip=True):
            return found[0], DROPPED - {"header"}
    return (_densest_block(tree.body) if tree.body else None), DROPPED


def _densest_block(node: LexborNode) -> LexborNode:
    """Return the block that holds at least DENSE_SHARE of the text of each block around it."""
    whole = _own_length(node)
    for _ in range(LEVELS):
        blocks = [(_own_length(child), child) for child in node.iter() if child.tag in CONTAINERS]
        most, block = max(blocks, key=lambda pair: pair[0], default=(0, node))
        if most == 0 or most < DENSE_SHARE * whole:
            break
        node, whole = block, most
    return node


def _own_length(node: LexborNode) -> int:
    """Return how many characters of a block's text are neither links nor furniture."""
    if node.tag in DROPPED:
        return 0
    around = sum(len(part.text()) for part in node.css("a, script, style, nav, header, footer"))
    return max(len(node.text()) - around, 0)


def _text_of_element(root: LexborNode, dropped: frozenset[str]) -> str:
    """Return the text below `root`: a line a block, white space collapsed but within <pre>."""
    out: list[str] = []
    line: list[str] = []
    pre = 0  # how many <pre> are open
    for node, entering in _walk(root, dropped):
        tag = node.tag
        if tag == "-text":
            text = node.text_content or ""
            if entering and text not in PERMALINKS:
                line.append(text)
        elif tag in ("td", "th"):
            line.append(" ")
        elif tag in BLOCKS and pre and tag != "pre":
            if entering == (tag == "br"):  # one line end: where a <br> is, where others end
                line.append("\n")
        elif tag in BLOCKS:
            _end_line(out, line, pre > 0)
            if tag in SPACED:
                out.append("\n")
            if tag == "pre":
                pre += 1 if entering else -1
    _end_line(out, line, pre > 0)
    return re.sub(r"\n{3,}", "\n\n", "".join(out)).strip("\n")


def _end_line(out: list[str], line: list[str], pre: bool) -> None:
    """Move the pieces of `line` to `out` as a line, or in <pre> as the lines that they are."""
    text = "".join(line)
    line.clear()
    text = text.strip("\n") if pre else " ".join(text.split())
    if text:
        out.append(text + "\n")


def _walk(root: LexborNode, dropped: frozenset[str]) -> Iterator[tuple[LexborNode, bool]]:
    """Yield each node below `root` and itself twice: (node, True), its children, (node, False).

    Without recursion, since pages may nest without end.
    """
    node, entering = root, True
    while True:
        if node.tag not in dropped:
            yield node, entering
        if entering and node.tag not in dropped and node.child is not None:
            node = node.child
        elif entering:
            entering = False
        elif node.mem_id == root.mem_id:
            return
        elif node.next is not None:
            node, entering = node.next, True
        else:
            assert node.parent is not None, "below root every node has a parent"
            node = node.parent


def is_too_deep(page: str) -> bool:
    """Whether a page's elements nest more than DEEPEST_PAGE deep, counted by name.

    The parser's time grows with the square of the depth: 14 s for 100,000 open <div>.
    """
    if page.count("<") <= DEEPEST_PAGE:
        return False
    depth = 0
    unclosed: Counter[str] = Counter()
    for close, name in TAG.findall(page):
        if not close:
            unclosed[name] += 1
            depth += 1
            if depth > DEEPEST_PAGE:
                return True
        elif unclosed[name]:
            unclosed[name] -= 1
            depth -= 1
    return False
