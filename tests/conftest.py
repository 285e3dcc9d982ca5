"""Fixtures come from the `fix_*.py` files beside this one."""

pytest_plugins = ["tests.fix_stack", "tests.fix_ingest", "tests.fix_peers", "tests.fix_browser"]
