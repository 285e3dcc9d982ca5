"""Fixtures come from the `fix_*.py` files beside this one."""

from hypothesis import settings

pytest_plugins = ["tests.fix_stack", "tests.fix_ingest", "tests.fix_peers", "tests.fix_browser"]

# The machine may be busy: how long an example takes says nothing.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
