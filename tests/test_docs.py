"""The pages of documentation: their links lead somewhere, the walk is short, entries have dates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    targets = [t for t in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in t]
    assert not [t for t in targets if not (page.parent / t).exists()]


def test_the_walk_has_at_most_twelve_files_one_hop_each() -> None:
    text = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    walk = text.partition("\n# ")[0]
    hops = re.findall(r"^(\d+)\. \[`([^`]+)`\]\(\.\./([^)]+)\)", walk, re.M)
    assert [int(number) for number, *_ in hops] == list(range(1, len(hops) + 1))
    assert 10 <= len(hops) <= 12
    for _, name, target in hops:
        assert target.endswith(name) and (ROOT / target).is_file(), name


@pytest.mark.parametrize("name", ["decisions.md", "experiments.md"])
def test_entries_carry_dates_newest_first(name: str) -> None:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    entries = re.findall(r"^\*\*(.{11})", text, re.M)
    dates = [entry.rstrip(".") for entry in entries]
    assert len(dates) > 10 and all(re.fullmatch(r"20\d\d-\d\d-\d\d", date) for date in dates)
    assert dates == sorted(dates, reverse=True)
