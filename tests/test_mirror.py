"""A test file stands under its source's name: tests/ mirrors the packages file for file."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
PACKAGES = ("autograd", "tinygrad_llm")

# Each op and each list of its cases is held by the gradient suite, which finds them by itself.
BY_THE_GRADIENT_SUITE = ("autograd/ops/", "autograd/testing/cases/")

WITHOUT = frozenset([  # modules that have no test file yet: the list only shrinks
])

OF_NO_MODULE = frozenset([  # test files of more than one module: what they check is no module's own
    "autograd/bad_input",
    "autograd/gpu_ready",
    "autograd/gradients",
    "autograd/half_precision",
    "autograd/hooks",
    "autograd/memory",
    "autograd/options",
    "autograd/testing/mutate/main",
    "tinygrad_llm/full_disk",
    "tinygrad_llm/functional/cpu/twins",
    "tinygrad_llm/gpu_ready",
])


def sources() -> set[str]:
    """Return the modules, as paths without suffix; __init__ and __main__ are their package's."""
    return {path.relative_to(ROOT).with_suffix("").as_posix()
            for package in PACKAGES for path in (ROOT / package).rglob("*.py")
            if not path.stem.startswith("__")}


def mirrored() -> set[str]:
    """Return the modules that test files are named after: tests/a/test_b.py after a/b.

    Comparisons with other libraries stand apart, in folders named oracle.
    """
    return {path.relative_to(TESTS).with_name(path.stem.removeprefix("test_")).as_posix()
            for package in PACKAGES for path in (TESTS / package).rglob("test_*.py")
            if path.parent.name != "oracle"}


def packages() -> set[str]:
    """Return the names a package's own test file may have: beside its folder, or within it."""
    found = {path.parent.relative_to(ROOT) for package in PACKAGES
             for path in (ROOT / package).rglob("__init__.py")}
    return {name for path in found for name in (path.as_posix(), (path / path.name).as_posix())}


def test_every_module_has_a_test_file_under_its_name() -> None:
    bare = {name for name in sources() - mirrored() if not name.startswith(BY_THE_GRADIENT_SUITE)}
    assert not (new := sorted(bare - WITHOUT)), f"write a test file under the name of {new}"
    assert not (done := sorted(WITHOUT - bare)), f"they have one: take from WITHOUT {done}"


def test_every_test_file_stands_under_a_name_of_ours() -> None:
    strays = mirrored() - sources() - packages()
    assert not (new := sorted(strays - OF_NO_MODULE)), f"name these after their source: {new}"
    assert not (gone := sorted(OF_NO_MODULE - strays)), f"take from OF_NO_MODULE {gone}"
