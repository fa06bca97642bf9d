import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.data.select.pii import MASKS, mask_pii


@pytest.mark.parametrize("text", [
    "ann@example.org", "a.b+c@sub.example.co.uk", "müller@beispiel.de", "x_y@foo.com",
    "user@bücher.example", "ANN@EXAMPLE.ORG", "o'brien@example.ie", "0@a.io", "a@xn--bcher-kva.ch",
])  # fmt: skip
@pytest.mark.parametrize(
    "around", ["{}", "Mail: {}.", "<{}>", "({}),", "mailto:{}?subject=x", '"{}"'])
def test_mail(text: str, around: str) -> None:
    assert mask_pii(around.format(text)) == (around.format("<EMAIL>"), {"email": 1})


@pytest.mark.parametrize("text", [
    "(415) 555-2671", "415-555-2671", "415.555.2671", "1-800-555-0199", "+1 415 555 2671",
    "+14155552671", "+44 20 7946 0958", "+49 (0)30 1234567", "+33 1 42 68 53 00",
    "01 42 68 53 00", "020 7946 0958", "(020) 7946 0958", "030/12345678", "0049 30 1234567",
    "+7 (495) 123-45-67", "+91-98765-43210", "+86 138 0013 8001",
])  # fmt: skip
@pytest.mark.parametrize(
    "around", ["{}", "Call {} now", "Tel.: {}.", "[{}]", "{}, or mail", "tel:{}"])
def test_phones(text: str, around: str) -> None:
    assert mask_pii(around.format(text)) == (around.format("<PHONE>"), {"phone": 1})


@pytest.mark.parametrize("text", [
    "8.8.8.8", "192.168.1.1", "10.0.0.7", "2001:db8::1", "2001:4860:4860::8888",
    "2001:0db8:85a3:0000:0000:8a2e:0370:7334", "::ffff:10.1.2.3",
])  # fmt: skip
@pytest.mark.parametrize("around", ["{}", "at {}.", "[{}]:80", "http://{}/x", "ip={}", "{}, {}"])
def test_ips(text: str, around: str) -> None:
    count = around.count("{}")
    expected = (around.format(*["<IP>"] * count), {"ip": count})
    assert mask_pii(around.format(*[text] * count)) == expected


@pytest.mark.parametrize("text", [
    "version 1.2.3.4", "v1.2.3.4", "Chrome/91.0.4472.124", "Chrome/9.0.4.12", "Python 3.11.4",
    "pkg==1.2.3.4", "1.2.3.4-beta", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.02.03.004",
    "OID 1.3.101.110",
    "127.0.0.1", "::1", "0.0.0.0", "255.255.255.0", "fe80::1",
    "12:30:45", "std::vector", "a::b", "abc::def::b", "aa:bb:cc:dd:ee:ff", "00:1A:2B:3C:4D:5E",
    "2024-01-15", "01.02.2024", "01-02-2024 12:30", "20240115123000", "1990-2000", "1/2/2024 10:00",
    "1,234,567.89", "3.14159265358979", "10 000 000 000", "$1000000000", "+35236450.6",
    "ISBN 978-3-16-148410-0", "4111 1111 1111 1111", "12345678901", "pages 123-456", "555-0199",
    "1 2 3 4 5 6 7 8 9 10", "0 10 20 30 40 50", "01 02 03 04 05 06 07 08", "00 00 00 00 00",
    "99 01 42 68 53 07",
    "[0.123 0.456 0.789 0.1234]", "f(1,2,3)", "2024 01 02 03 04 05 06",
    "x@w.mean()", "logo@2x.png", "git@github.com:user/repo.git",
    "@decorator", "user@host", "a@b.T", "@", "a@", "@b.com",
    "...@b.com",
])  # fmt: skip
def test_what_only_looks_alike_stays(text: str) -> None:
    for around in ("{}", "so {} it is", "({})"):
        assert mask_pii(around.format(text)) == (around.format(text), {})


def test_several_kinds_are_counted() -> None:
    text = "a@b.com c@d.org\n+44 20 7946 0958; 8.8.8.8 8.8.4.4"
    assert mask_pii(text) == ("<EMAIL> <EMAIL>\n<PHONE>; <IP> <IP>",
                              Counter(email=2, phone=1, ip=2))


def test_addresses_that_overlap_are_masked_once() -> None:
    assert mask_pii("a@b.com@c.de") == ("<EMAIL>@c.de", {"email": 1})
    assert mask_pii("1.2.3.4.8.8.8.8 2001:db8::8.8.8.8") == ("1.2.3.4.8.8.8.8 <IP>", {"ip": 1})


def test_masks_are_the_callers() -> None:
    text = "a@b.com 8.8.8.8"
    assert mask_pii(text, {"email": ""}) == (" 8.8.8.8", {"email": 1})
    assert mask_pii(text, {"ip": r"\1"}) == (r"a@b.com \1", {"ip": 1})
    assert mask_pii(text, {}) == (text, {})
    with pytest.raises(ValueError, match="mail"):
        mask_pii(text, {"mail": "x"})


@given(st.lists(st.sampled_from(
    ["a", "@", ".com", "1", "23", "4567", " ", "-", ".", ":", "::", "+", "(", ")", "ff", "8.8.8.8",
     "<IP>", "x", "0", "+44 20 7946 0958", "a@b.com", "\n", "/", "é"]), max_size=25).map("".join))
def test_masking_is_idempotent_and_keeps_the_rest(text: str) -> None:
    masked, counts = mask_pii(text)
    assert sum(counts.values()) <= sum(masked.count(word) for word in MASKS.values())
    rest = masked
    for word in MASKS.values():
        rest = rest.replace(word, "\0")
    pieces = [piece for piece in rest.split("\0") if piece]
    place = 0
    for piece in pieces:  # all that is left stood there, in this order
        place = text.replace("<IP>", "\0").find(piece, place) + len(piece)
        assert place >= len(piece)


@pytest.mark.parametrize("piece", [
    "a.", "1", "@", "a@", "1.", "1.1.1.1.", "::", "a:", "1:", "+1 ", "(1", "0 ", "a-", "a@b.", "+",
    "555-", "((", "1 2-", "f:", "a@a.a.a.a.a.a.a.a.", "00000000000000000000 ", "+11111111111111",
    "(415) 555-", "a" * 63 + ".", "@" + "a" * 63, "+1(1)", "8.8.8.8 ", "a@b.co ", "1234:",
])  # fmt: skip
def test_hostile_text_takes_linear_time(piece: str) -> None:
    text = (piece * 100_000)[:100_000]
    start = time.process_time()
    mask_pii(text)
    assert time.process_time() - start < 1
