"""Hypothesis profiles: `HYPOTHESIS_PROFILE=dev|ci|intense pytest`."""

import os

from hypothesis import HealthCheck, settings

_slow_is_fine = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("dev", max_examples=10, deadline=None,
                          suppress_health_check=_slow_is_fine)
settings.register_profile("ci", max_examples=25, deadline=None, derandomize=True,
                          suppress_health_check=_slow_is_fine)
settings.register_profile("intense", max_examples=400, deadline=None,
                          suppress_health_check=_slow_is_fine)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
