"""Addresses of people and machines in a text, masked: mail, phone numbers, IP addresses.

Not all that looks like one is one: 1.2.3.4 is a version, 555-0199 a part number, 01-02-2024 a
date. So each kind has a cheap pattern for where it might be and a check of what is there, which
in doubt leaves a number in. Every pattern looks at a bounded stretch
around a place that is found in one pass, so no input takes more than linear time.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

Spans = Iterator[tuple[int, int]]

MASKS: Mapping[str, str] = {"email": "<EMAIL>", "ip": "<IP>", "phone": "<PHONE>"}


def mask_pii(text: str, masks: Mapping[str, str] = MASKS) -> tuple[str, Counter[str]]:
    """Return `text` with what is found replaced by its kind's mask, and how many of each kind.

    Kinds are "email", "ip" and "phone"; those not in `masks` stay. Raises ValueError for others.

    >>> mask_pii("Ask ann@example.org or +44 20 7946 0958.")[0]
    'Ask <EMAIL> or <PHONE>.'
    """
    if unknown := set(masks) - set(FINDERS):
        raise ValueError(f"kinds must be among {sorted(FINDERS)}, got {sorted(unknown)}")
    counts: Counter[str] = Counter()
    for kind, find in FINDERS.items():
        if kind in masks:
            pieces, end = [], 0
            for first, last in find(text):
                pieces += [text[end:first], masks[kind]]
                end = last
            if pieces:
                counts[kind] = len(pieces) // 2
                text = "".join(pieces) + text[end:]
    return text, counts


# --- Mail -------------------------------------------------------------------------------------

LOCAL = re.compile(r"[\w.+%'-]{1,64}\Z")  # of RFC 5321's 64 octets
DOMAIN = re.compile(r"(?:[\w-]{1,63}+\.){1,8}([^\W\d_]{2,24}|xn--[\w-]{1,59})(?![\w-])")
# Top-level domains of more than two letters (which are countries), so that x@w.mean() and
# logo@2x.png are no mail.
TOP_LEVEL = frozenset([
    "com", "org", "net", "edu", "gov", "mil", "int", "info", "biz", "name", "pro", "aero", "coop",
    "museum", "jobs", "mobi", "tel", "travel", "cat", "asia", "post", "app", "dev", "blog", "shop",
    "store", "online", "site", "xyz", "tech", "cloud", "space", "live", "club", "agency", "email",
    "company", "digital", "group", "systems", "solutions", "services", "academy", "science",
    "research", "university", "school", "education", "foundation", "network", "media", "news",
    "press", "design", "studio", "health", "care", "law", "consulting", "international", "global",
    "world", "today", "life", "top", "work", "works", "zone", "software", "engineering", "bank",
    "finance", "money", "london", "berlin", "paris", "amsterdam", "vienna", "tokyo", "nyc", "wien",
    "hamburg", "koeln", "bayern", "swiss", "scot", "wales", "irish", "example", "test", "invalid",
])  # fmt: skip


def find_emails(text: str) -> Spans:
    """Yield where mail addresses are, in order."""
    last = 0
    at = text.find("@")
    while at >= 0:
        local = LOCAL.search(text, max(last, at - 64), at)
        domain = DOMAIN.match(text, at + 1, at + 256)
        if local and domain and _is_top_level(domain[1]) and local[0] != "git":  # git@github.com:a
            first = local.start() + len(local[0]) - len(local[0].lstrip(".'-"))
            if first < at:
                last = domain.end()
                yield first, last
        at = text.find("@", at + 1)


def _is_top_level(name: str) -> bool:
    name = name.lower()
    return len(name) == 2 or name in TOP_LEVEL or name.startswith("xn--") or not name.isascii()


# --- IP addresses -----------------------------------------------------------------------------

DOTTED = re.compile(r"\d[\d.]{6,}+")
COLONS = re.compile(r":[0-9A-Fa-f:.]{2,}+")
BEFORE_VERSION = re.compile(  # "v", "Python ", "release-", "Chrome/" and the like
    r"(?:(?:\bv|\b(?:versions?|ver|releases?|rev|revision|chapter|sections?|figure|table|oid"
    r"|rfc ?\d{3,5})|§|[=<>~]=)[\s.:,]{0,2}|[\w)]/|[\w.+-])\Z",
    re.IGNORECASE,
)


def find_ips(text: str) -> Spans:
    """Yield where addresses of IPv4 and IPv6 are, in order.

    Not those that belong to no machine in particular: 127.0.0.1, ::1, 0.0.0.0, netmasks, fe80::.
    """
    spans = [*_find_ipv4(text), *_find_ipv6(text)]
    last = 0
    for first, end in sorted(spans):
        if first >= last:
            yield first, end
            last = end


def _find_ipv4(text: str) -> Spans:
    for found in DOTTED.finditer(text):
        written = found[0].rstrip(".")
        first, end = found.start(), found.start() + len(written)
        goes_on = _is_word_at(text, end) or (
            text[end : end + 1] == "-" and _is_letter_at(text, end + 1)
        )
        is_version = goes_on or BEFORE_VERSION.search(text, max(0, first - 12), first)
        if not is_version and _is_address(written):
            yield first, end


def _find_ipv6(text: str) -> Spans:
    last = 0
    for found in COLONS.finditer(text):
        first = found.start()
        while first > max(last, found.start() - 4) and text[first - 1] in HEX_DIGITS:
            first -= 1
        written = text[first : found.end()].rstrip(".")
        if written.endswith(":") and not written.endswith("::"):
            written = written[:-1]
        end = first + len(written)
        # Three groups and a digit: a::b is a name in C++, 12:30 a time.
        groups = written.replace(":", " ").replace(".", " ").split()
        is_long = len(groups) >= 3 and any(map(str.isdigit, written))
        is_whole = not _is_word_at(text, end) and not (first and _is_word_at(text, first - 1))
        if is_long and is_whole and _is_address(written):
            last = end
            yield first, end


HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


def _is_word_at(text: str, place: int) -> bool:
    return place < len(text) and (text[place].isalnum() or text[place] == "_")


def _is_letter_at(text: str, place: int) -> bool:
    return place < len(text) and text[place].isalpha()


def _is_address(written: str) -> bool:
    if len(written) > 45:  # of the longest IPv6, with an IPv4 at its end
        return False
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or address.is_link_local
                or address.is_multicast or written.startswith(("0.", "255.")))


# --- Phone numbers ----------------------------------------------------------------------------

NUMBERS = re.compile(r"[+(\d][\d ().\-/+\xa0]{7,}+")
PHONE = re.compile(
    r"""
    (?<![\w.,=$€£#%/+-]) (?<!\d[ ]) (?<![\d:]:) (?:
        (?:\+|00[ ]?) [1-9]\d{0,2} (?:[ .\-\xa0]\d(?=[ .\-\xa0]\d\d))?
            (?:[ .\-/\xa0]?(?:\(\d{1,5}\)|\d{2,14})){1,7}+  # +44 20 7946
      | (?:1[ .-])? (?:\([2-9]\d\d\)[ ]?|[2-9]\d\d[ .-]) [2-9]\d\d[ .-]\d{4}  # (415) 555-2671
      | (?!(?:0\d[ .\xa0-]){4}) 0[1-9] (?:[ .\xa0-]\d\d){4}                 # 01 42 68 53 00
      | 0\d{2,4} [ -]\d{3,4} [ -]\d{3,4}                                      # 020 7946 0958
      | \(0\d{2,5}\) [ -]?\d{3,4} [ -]?\d{2,5}                                # (020) 7946 0958
      | 0\d{2,4} (?:[ ]?/[ ]?|[ ]) \d{6,8}                                    # 030/12345678
    ) (?!\w) (?![ .,\-/:]\d)
    """,
    re.VERBOSE,
)
DIGITS = range(8, 16)  # E.164 allows 15 with the country's code; fewer than 8 may be anything


def find_phones(text: str) -> Spans:
    """Yield where phone numbers are, in order: international ones with their +, and national ones
    whose shape and separators leave little doubt."""
    for run in NUMBERS.finditer(text):
        # One character more, for the check that nothing goes on behind it.
        for found in PHONE.finditer(text, run.start(), min(run.end() + 1, len(text))):
            digits = sum(map(str.isdigit, found[0]))
            if digits in DIGITS and not found[0].endswith("000"):
                yield found.span()


FINDERS: Mapping[str, Callable[[str], Spans]] = {
    "email": find_emails,
    "ip": find_ips,  # before phones: 100.200.300.4000 is neither, 100.200.30.40 no phone
    "phone": find_phones,
}
