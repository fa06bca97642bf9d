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
from .text_pieces import Refused

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

XML_ENCODING = re.compile(rb"\s*<\?xml\s[^>]{0,100}?encoding\s*=\s*[\"']([\w.:-]{1,40})")

DEEPEST_PAGE = 4000
COST_LIMIT = 5 * 10**8  # steps of the parser, about 3 ns each
ELEMENT_COST = 400  # steps to make an element and to walk past it
FREE_FORMATTING, FREE_DEPTH = 16, 256  # open elements that ordinary pages have
FEW_TAGS = 2000  # with which no page can be too complex
FORMATTING = frozenset([  # what is opened again in the next paragraph unless it was closed
    "b", "big", "code", "em", "font", "i", "s", "small", "strike", "strong", "tt", "u",
])  # fmt: skip
CELLS = frozenset(["td", "th", "caption"])  # which begin without the formatting around the table
UNNESTED = CELLS | frozenset([  # what the parent's tag or the next one closes
    "p", "li", "dd", "dt", "tr", "tbody", "thead", "tfoot", "option", "optgroup", "br", "hr", "img",
    "image", "input", "meta", "link", "wbr", "col", "area", "base", "embed", "param", "source",
    "track", "html", "head", "body",
])  # fmt: skip
TAG = re.compile(r"<(/?)([a-z][\w-]*)")
ATTRIBUTE = (r"""[\s/]*+[^\s/>][^\s/>=]*+"""
             r"""(?:\s*+=\s*+(?:"[^"]*+"?|'[^']*+'?|[^\s>"'][^\s>]*+)?+)?+""")
SHORT_ATTRIBUTE = ATTRIBUTE.replace("=]*+", "=]{0,30}+").replace("\\s>]*+", "\\s>]{0,30}+")
# In short pieces, so that the search ends soon wherever it begins.
MANY_ATTRIBUTES = re.compile(rf"</?[A-Za-z][^\s/><]*+[\s/](?:{SHORT_ATTRIBUTE}){{400}}")
TAG_OR_COMMENT = re.compile(  # as the parser cuts a page, but for the text of scripts
    rf"<!--(?:-?>|(?:[^-]++|-(?!-!?>))*+)|<(/?[A-Za-z][^\s/>]*+)((?:{ATTRIBUTE})*+)")
PAGE_TAG = re.compile(r"<(html|body)\b", re.IGNORECASE)
SCRIPT_END = re.compile("</script|\\Z", re.IGNORECASE)
ONE_ATTRIBUTE = re.compile(ATTRIBUTE)


def main_text(page: str) -> str:
    """Return the main text of an HTML page: a line a block, blank lines around paragraphs.

    Inside <pre> line ends and indentation stay. Raises Refused for a page that nests too deep or
    would take the parser too long, UserError without selectolax.
    """
    refuse_hostile(page)
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
    """Return the name in the page's <meta charset>, or in the declaration of XML before it.

    It is sought where HTML wants it, in 1,024 bytes.
    """
    found = CHARSET.search(page, 0, 1024) or XML_ENCODING.match(page)
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
    left = len(node.text())
    for part in node.css("a, script, style, nav, header, footer"):
        left -= len(part.text())
        if left <= 0:  # they may nest: to read them all could be quadratic
            return 0
    return left


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


def refuse_hostile(page: str) -> None:
    """Raise Refused for a page that nests too deep or would take the parser too long.

    The parser is quadratic in the attributes of a tag (100,000 take 58 s), in the options of a
    <select> (86 s), in formatting that is never closed (each later paragraph opens all of it again)
    and in the depth. Its steps are counted from the tags alone, before it sees them; ordinary pages
    stay below a hundredth of COST_LIMIT.
    """
    cost = _attribute_cost(page)
    if page.count("<") > FEW_TAGS:
        cost += _nesting_cost(page.lower(), COST_LIMIT)
    if cost > COST_LIMIT:
        raise Refused("too-complex")


def _attribute_cost(page: str) -> int:
    """Return the sum over tags of their number of attributes squared, where that may be much.

    All tags of <html> count as one, and those of <body>, as the parser takes them.
    """
    whole = Counter(name.lower() for name in PAGE_TAG.findall(page))
    if not MANY_ATTRIBUTES.search(page) and whole.total() <= len(whole):
        return 0
    cost = place = 0
    roots: Counter[str] = Counter()
    while cost <= COST_LIMIT and (found := TAG_OR_COMMENT.search(page, place)):
        name, place = (found[1] or "").lower(), found.end()
        attributes = len(ONE_ATTRIBUTE.findall(found[2] or ""))
        if name in whole:
            roots[name] += attributes
            attributes = roots[name] if attributes else 0
        elif name == "script":
            place = SCRIPT_END.search(page, place).start()  # type: ignore[union-attr]
        cost += attributes**2
    return cost


def _nesting_cost(page: str, limit: int) -> int:
    """Return the parser's steps beyond those for each tag, up to `limit`, by counting open tags.

    Raises Refused where elements nest more than DEEPEST_PAGE deep.
    """
    cost = depth = formatting = select = 0
    unclosed: dict[str, int] = {}
    outside: list[int] = []  # unclosed formatting around each open table
    for place, (close, name) in enumerate(TAG.findall(page), 1):
        if name in UNNESTED:
            if name in CELLS and outside:
                formatting = 0
            elif name == "option" and select and not close:
                cost += 2 * (place - select)
        elif not close or unclosed.get(name):
            step = -1 if close else 1
            unclosed[name] = unclosed.get(name, 0) + step
            depth += step
            if name in FORMATTING:
                formatting = max(formatting + step, 0)
            elif name == "select":
                select = 0 if close else place
            elif name == "table":
                outside.append(formatting)
                if close:
                    outside.pop()
                    formatting = outside.pop()
        if formatting > FREE_FORMATTING:
            cost += ELEMENT_COST * (formatting - FREE_FORMATTING)
        if depth > FREE_DEPTH:
            cost += depth - FREE_DEPTH
            if depth > DEEPEST_PAGE:
                raise Refused("nested-too-deep")
        if cost > limit:
            break
    return cost
