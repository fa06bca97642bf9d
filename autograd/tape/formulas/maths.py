r"""The LaTeX of docstrings, made readable: as Unicode text in a terminal, as MathML in a page."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from html import escape
from xml.etree import ElementTree

_WORDS = dict(zip(
    ["partial", "nabla", "sum", "prod", "int", "cdot", "odot", "otimes", "circ", "infty", "le",
     "ge", "leq", "geq", "ne", "neq", "approx", "equiv", "to", "mapsto", "in", "notin",
     "leftarrow", "rightarrow", "langle", "rangle", "lVert", "rVert", "lfloor", "rfloor", "lceil",
     "rceil", "dots", "ldots", "cdots", "pm", "mp", "ell", "Rightarrow", "ll", "gg",
     "propto", "varphi", "varepsilon", "top", "times"],
    "∂∇ΣΠ∫·⊙⊗∘∞≤≥≤≥≠≠≈≡→↦∈∉←→⟨⟩‖‖⌊⌋⌈⌉……⋯±∓ℓ⇒≪≫∝φε⊤×", strict=True))  # noqa: RUF001
_WIDE = "\ue001"
_WORDS |= {"quad": _WIDE, "qquad": _WIDE, "bmod": " mod "}
_SIZES = {"left", "right", "bigl", "bigr", "Bigl", "Bigr", "big", "Big", "biggl", "biggr",
          "displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "mathrel"}
_ACCENTS = {"bar": "\u0304", "overline": "\u0304", "tilde": "\u0303", "hat": "\u0302",
            "dot": "\u0307", "vec": "\u20d7", "widetilde": "\u0303", "widehat": "\u0302"}
_BRACKETS = {"cases": ("{ ", ""), "pmatrix": ("(", ")")}
_RAISED = dict(zip("0123456789+-=()nijkTx⊤", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱʲᵏᵀˣᵀ", strict=True))  # noqa: RUF001
_LOWERED = dict(zip("0123456789+-=()aeijklmnoprstuvx,",
                    "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ,", strict=True))
_OPERATOR = "\ue000"
"""A mark behind an operator's name: a space where a letter follows, else nothing."""
TOKEN = re.compile(r"\\[a-zA-Z]+\*?|\\.|\s+|.", re.DOTALL)
UPRIGHT = re.compile(r"\\(?:text|operatorname|mathrm|begin|end)\*?\{[^}]*\}|" + TOKEN.pattern,
                     re.DOTALL)


def readable(text: str) -> str:
    """Return prose in which the maths between dollars is Unicode."""
    return "".join(formula(piece) if maths else piece for maths, piece in pieces(text))


def formula(latex: str) -> str:
    r"""Return LaTeX as Unicode: `\bar x_i = \frac{a}{b}` becomes x̄ᵢ = a/b."""
    text = _text_until(iter([*TOKEN.findall(latex), ""]))
    text = re.sub(r"\s+", " ", text).replace(f" {_WIDE}", _WIDE).replace(f"{_WIDE} ", _WIDE)
    text = text.replace(_WIDE, "   ")
    text = re.sub(rf"{_OPERATOR}(?=[^\W_])", " ", text).replace(_OPERATOR, "")
    text = unicodedata.normalize("NFC", text)  # a letter with its bar as one sign, where it is one
    return re.sub(r"(?<=[(⟨⌊⌈])\s+|\s+(?=[,.;)⟩⌋⌉^⁰¹²³⁴-⁹])", "", text).strip()


def _text_until(tokens: Iterator[str], end: str = "") -> str:
    out = ""
    for token in tokens:
        if token == end:
            break
        out += _text_of(token, tokens)
    return out


def _argument(tokens: Iterator[str]) -> str:
    """Return the argument of a command: a group in braces, or the next sign or command."""
    token = next((t for t in tokens if not t.isspace()), "")
    return _text_of(token, tokens)


def _text_of(token: str, tokens: Iterator[str]) -> str:
    name = token[1:].rstrip("*") or token
    if token == "{":
        return _text_until(tokens, "}")
    if token in "^_" and token:
        return _script(_argument(tokens), token)
    if not token.startswith("\\") or token == "\\":
        return " " if token.isspace() else "" if token == "&" else token
    if name in _ACCENTS:
        inside = _argument(tokens)
        short = {"overline": "bar", "widehat": "hat"}.get(name, name)
        return inside + _ACCENTS[name] if len(inside) == 1 else f"{short}({inside})"
    if name in ("frac", "tfrac", "dfrac"):
        return f"{_grouped(_argument(tokens))}/{_grouped(_argument(tokens))} "
    if name == "sqrt":
        return _root(tokens)
    if name == "operatorname":
        return _argument(tokens) + _OPERATOR
    if name in ("text", "mathrm", "mathbf", "mathbb", "mathcal", "mathit"):
        return _argument(tokens)
    if name in ("begin", "end"):
        kind = _argument(tokens)
        return _BRACKETS.get(kind, ("", ""))[name == "end"]
    if name in _SIZES or name in ("!", "{", "}", "|"):
        return "" if name in _SIZES or name == "!" else "‖" if name == "|" else name
    spaces = {",": " ", ";": " ", ":": " ", " ": " ", "\\": "; "}
    return spaces.get(name) or _WORDS.get(name) or greek(name) or name


def _root(tokens: Iterator[str]) -> str:
    r"""Return a root, of the third degree too, as `\sqrt[3] x` says."""
    sign, inside = "√", _argument(tokens)
    if inside == "[":
        degree = _text_until(tokens, "]")
        sign = {"3": "∛", "4": "∜"}.get(degree, _script(degree, "^") + sign)
        inside = _argument(tokens)
    alone = re.fullmatch(r"\d+|[^\W\d_][\u0300-\u036f₀-₉ᵢⱼₖₙ]*", inside.strip())
    return sign + (inside.strip() if alone else f"({inside.strip()})")


def greek(name: str) -> str:
    """Return the Greek letter of a command's name, or nothing."""
    size = "CAPITAL" if name[0].isupper() else "SMALL"
    try:
        letter = name.removeprefix("var").upper().replace("LAMBDA", "LAMDA")  # as Unicode spells it
        return unicodedata.lookup(f"GREEK {size} LETTER {letter}")
    except KeyError:
        return ""


def _grouped(text: str) -> str:
    text = text.strip()
    return text if re.fullmatch(r"√?[\w̄̃̂₀-₉⁰¹²³⁴-⁹ᵢⱼₖₙ∂.]+|√?\([^()]*\)", text) else f"({text})"


def _script(text: str, kind: str) -> str:
    table = _RAISED if kind == "^" else _LOWERED
    text = text.strip()
    if all(c in table for c in text.replace(" ", "")):
        return "".join(table[c] for c in text.replace(" ", ""))
    whole = len(text) == 1 or re.fullmatch(r"\([^()]*\)", text)
    return f"{kind}{text}" if whole else f"{kind}({text})"


def pieces(text: str) -> Iterator[tuple[bool, str]]:
    """Yield the prose and the maths of a text in turn, each with whether it is maths."""
    for i, piece in enumerate(re.split(r"\$\$?", text)):
        if piece:
            yield i % 2 == 1, piece


def symbol(name: str) -> str:
    """Return a variable's name in LaTeX: `v12` as v_{12}, `h.0.bias` upright."""
    match = re.fullmatch(r"([A-Za-z])(\d*)", name)
    if match:
        return f"{match[1]}_{{{match[2]}}}" if match[2] else match[1]
    return name if re.fullmatch(r"[\d.]+", name) else rf"\text{{{escaped(name)}}}"


def escaped(text: str) -> str:
    """Return plain text as LaTeX: its special signs are no commands."""
    return re.sub(r"([_%#&$])", r"\\\1", re.sub(r"[{}\\^~]", " ", text))


def adjoint(name: str) -> str:
    """Return a variable's gradient in LaTeX: its name under a bar."""
    latex = symbol(name)
    return rf"\overline{{{latex}}}" if latex.startswith("\\text") else rf"\bar {latex}"


def substituted(latex: str, symbols: Mapping[str, str]) -> str | None:
    """Return the formula with its symbols, single letters, replaced by LaTeX; None if unsure.

    It is unsure where a symbol is also used as an index, and so means two things.
    """
    latex = re.sub(r"\\bar\s*\{\s*(\\?[A-Za-z]+)\s*\}", r"\\bar \1", latex)
    for index in re.findall(r"_(\{[^}]*\}|\\?\w+)", latex):
        if any(t in symbols for t in TOKEN.findall(index)):
            return None
    out = accent = ""
    for token in UPRIGHT.findall(latex):
        new = symbols.get(token)
        if token == "\\bar":
            accent = token
        elif not accent:
            out += token if new is None else f"{{{new}}}"
        elif not token.isspace():
            wide = new is not None and new.startswith("\\text")
            out += rf"\overline{{{new}}}" if wide else rf"\bar {new or token}"
            accent = ""
    # {x_{2}}_i, the i-th element of the variable x_2, is x_{2,i}; the braces are for e^x and alike
    out = re.sub(r"\{((?:\\bar )?[A-Za-z]_\{\d+)\}\}_(?:\{([^}]*)\}|(\w))", r"\1,\2\3}", out)
    return re.sub(r"(\\bar [A-Za-z]_\{\d+)\}_(?:\{([^}]*)\}|(\w))", r"\1,\2\3}", out)


def mathml(latex: str) -> str:
    """Return MathML where the package latex2mathml is installed, else the formula as Unicode."""
    try:
        from latex2mathml import converter

        safe = re.sub(r"\\text\{[^}]*\}", _text_in_html, latex)
        tree = ElementTree.fromstring(re.sub(r' xmlns="[^"]*"', "", converter.convert(safe)))
    except Exception:  # not installed, or LaTeX that it does not know
        return f'<span class="formula">{escape(formula(latex))}</span>'
    for over in tree.iter("mover"):  # few fonts can stretch a bar over several letters
        if over[-1].text == "\u2015":
            over.remove(over[-1])
            over.tag, over.attrib = "mrow", {"style": "border-top:1px solid;padding-top:1px"}
    return ElementTree.tostring(tree, encoding="unicode")


def _text_in_html(match: re.Match[str]) -> str:
    """Escape upright text for HTML and not for LaTeX: latex2mathml passes it on as it is."""
    return escape(re.sub(r"\\([_%#&$])", r"\1", match[0]), quote=False)
