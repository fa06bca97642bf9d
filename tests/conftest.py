"""Hypothesis profiles: `HYPOTHESIS_PROFILE=dev|ci|intense pytest`; what several tests use."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

_slow_is_fine = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("dev", max_examples=10, deadline=None,
                          suppress_health_check=_slow_is_fine)
settings.register_profile("ci", max_examples=25, deadline=None, derandomize=True,
                          suppress_health_check=_slow_is_fine)
settings.register_profile("intense", max_examples=400, deadline=None,
                          suppress_health_check=_slow_is_fine)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture
def clean_registry() -> Iterator[None]:
    """Forget the ops that a test defines."""
    from autograd import registry

    before = dict(registry)
    yield
    registry.clear()
    registry.update(before)
