"""A fixture for the tests of fused ops: a module may have each of its tests run by both pairs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from autograd import plain_ops


@pytest.fixture(params=["twin", "plain"])
def pair(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test with the twins on NumPy, and again with the plain pairs."""
    with plain_ops() if request.param == "plain" else nullcontext():
        yield request.param
