"""pytest's side of `autograd.testing`: how thorough gradient tests are, chosen on the command line.

    pytest --gradcheck-profile intense

`dev` draws 10 inputs for each property, `ci` 25 and always the same ones, `intense` 400, to the
third order where a test does not say, element by element for larger inputs, along more directions,
and ops in float16 as well as in float32. The same three are profiles of Hypothesis. Without the
option nothing is imported or changed.
"""

from __future__ import annotations

from typing import Any

PROFILES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dev": ({"max_examples": 10},
            {"order": 2, "elements": 8, "directions": 1, "half": False}),
    "ci": ({"max_examples": 25, "derandomize": True},
           {"order": 2, "elements": 8, "directions": 1, "half": False}),
    "intense": ({"max_examples": 400},
                {"order": 3, "elements": 200, "directions": 3, "half": True}),
}


def pytest_addoption(parser: Any) -> None:
    """Add the option."""
    parser.getgroup("gradcheck").addoption(
        "--gradcheck-profile", choices=sorted(PROFILES), default=None,
        help="how many inputs gradient tests draw, and to which order they check")


def pytest_configure(config: Any) -> None:
    """Load the profile that was asked for."""
    name = config.getoption("--gradcheck-profile", None)
    if name is not None:
        load_profile(name)


def pytest_report_header(config: Any) -> str | None:
    """Report which profile is in use."""
    name = config.getoption("--gradcheck-profile", None)
    return name and f"gradcheck: profile {name}"


def load_profile(name: str) -> None:
    """Set how much gradient tests draw and check; without Hypothesis, how much they check."""
    import autograd

    if getattr(autograd, "__project__", None) != "tinygrad_llm":
        raise ImportError(f"--gradcheck-profile: the package 'autograd' that Python imports, "
                          f"{autograd.__file__}, is another project's; install tinygrad_llm "
                          f"again in an environment without it")
    if name not in PROFILES:
        raise ValueError(f"unknown profile {name!r}, expected one of {sorted(PROFILES)}")
    drawing, checking = PROFILES[name]
    vars(autograd.testing.check.effort).update(checking)
    try:
        from hypothesis import HealthCheck, settings
    except ImportError:
        return
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    settings.register_profile(name, deadline=None, suppress_health_check=slow, **drawing)
    settings.load_profile(name)
