"""Settings that hold for every test."""

import os

from hypothesis import HealthCheck, settings

# "ci" looks further; both are deterministic from the seed that a failure prints.
settings.register_profile("dev", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "ci", max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "dev")
