"""A failure as a pytest file that needs nothing else, and fails until it is mended."""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from .failing import Failure, widest
from .page import write_in_one_step
from .source import LARGEST, exact_literal, source_of

__all__ = ["write_test"]


def write_test(failure: Failure, folder: Path, story: Sequence[str]) -> Path:
    """Write the test, in one step, to a name made of its content; return the path."""
    text = text_of_test(failure, story)
    name = re.sub(r"\W+", "_", failure.op.name).strip("_")
    path = folder / f"test_anomaly_{name}_{hashlib.sha1(text.encode()).hexdigest()[:8]}.py"
    folder.mkdir(parents=True, exist_ok=True)
    write_in_one_step(path, text)
    return path.absolute()


def text_of_test(failure: Failure, story: Sequence[str]) -> str:
    """Return the text of the test file, with the lines of the story as its docstring."""
    if sum(x.size for x in failure.arrays()) > LARGEST:
        raise ValueError(f"its arguments could not be cut to {LARGEST} numbers")
    source, name = source_of(failure.op, set() if failure.which is None else {"vjp"})
    names = [f"x{i + 1}" for i in range(len(failure.args))]
    lines = [f"{n} = {exact_literal(x)}" for n, x in zip(names, failure.args, strict=True)]
    options = "".join(f", {key}={exact_literal(v)}" for key, v in failure.options.items())
    call = f"{name}({', '.join(names)}{options})"
    if failure.which is None:
        what, result, compute = "value", "y", [f"y = {call}"]
    else:
        x, what, result = names[failure.which], "gradient", "dx"
        compute = [f"y, pull = vjp(lambda {x}: {call}, {x})",
                   f"({result},) = pull({exact_literal(failure.g)})"]
    right = "np.isfinite({0}).all()" if failure.given == {None} else "not np.isnan({0}).any()"
    found = "is_finite"
    if failure.kind == "0":
        found, right = "is_not_lost", "not ((exact.astype({0}.dtype) != 0) & ({0} == 0)).any()"
        compute += [f"narrow = {result}", *_widened(failure, names), *compute,
                    f"exact, {result} = {result}, narrow"]
    text = "\n".join([*lines, 'with np.errstate(all="ignore"):',
                      *(f"    {line}" for line in compute),
                      f"assert {right.format(result)}, {result}"])
    return (_head(story, text, source)
            + f"\n\n\ndef test_the_{what}_{found}() -> None:\n"
            + textwrap.indent(text, "    ") + "\n")


def _widened(failure: Failure, names: Sequence[str]) -> list[str]:
    """Return lines that give the arguments in a wider dtype."""
    return [f"{n} = {n}.astype(np.{'float64' if widest(x).dtype == float else 'longdouble'})"
            for n, x in zip(names, failure.args, strict=True) if widest(x) is not x]


def _head(story: Sequence[str], text: str, source: Sequence[str]) -> str:
    """Return all above the test: the docstring, the imports, and the op's source."""
    docstring = "\n".join(story).replace("\\", "\\\\").replace('"', "'")
    numbers = sorted(set(re.findall(r"\b(?:inf|nan)\b", text)))
    needed = ["import ml_dtypes  # noqa: F401, makes the dtype known"] * ("bfloat16" in text)
    needed.append("import numpy as np")
    needed += [f"from numpy import {', '.join(numbers)}"] if numbers else []
    return (f'"""{docstring}\n\nFound by detect_anomaly; fails until that is mended.\n"""\n\n'
            "from __future__ import annotations\n\n" + "\n".join([*needed, "", *source]))
