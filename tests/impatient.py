"""A service that takes another one for hung sooner than it does in service, so that a test need not wait for a minute."""

from __future__ import annotations

import sys
from typing import Final

#: Longer than one that lives is silent, also on a busy machine.
HUNG_S: Final = 8.0


def impatient(module: str) -> list[str]:
    """How it is started; otherwise as `python -m`."""
    code = (
        f"import runpy, ioc.db.hung; ioc.db.hung.HUNG_S = {HUNG_S}; runpy.run_module({module!r}, run_name='__main__')"
    )
    return [sys.executable, "-X", "faulthandler", "-c", code]
