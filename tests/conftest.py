"""Profiles: `HYPOTHESIS_PROFILE=dev|ci|intense pytest`; what several tests use."""

import os
from collections.abc import Iterator

import pytest

from autograd.testing.plugin import load_profile

load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(autouse=True)
def clean_registry() -> Iterator[None]:
    """Forget the ops that a test defines."""
    from autograd import registry

    before = dict(registry)
    yield
    registry.clear()
    registry.update(before)
