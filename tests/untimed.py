"""How hypothesis runs its examples here: without a limit on time, in which machines differ.

pytest has one, for a test that hangs. The conformance kit says the same by itself, since it ships.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

__all__ = ["run_untimed"]


def run_untimed() -> None:
    """For every test of this run; to be called in a `conftest.py`, before any test is imported."""
    settings.register_profile(
        "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("untimed")
