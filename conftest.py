"""Fixtures and settings for the tests of every package."""

from hypothesis import HealthCheck, settings

pytest_plugins = ("tests.support.fixtures",)

# How fast an example is, or how fast it is made, is the machine's matter and not what a test asserts.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")
