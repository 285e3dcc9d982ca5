"""`ioc-alarms`: watch the readings, raise alarms, keep incidents."""

from __future__ import annotations

from ioc.alarms.engine import serve
from ioc.service import Service, run


def main() -> None:
    """Run until told to stop."""
    run(_main)


def _main() -> None:
    with Service("alarms") as service:
        serve(service)


if __name__ == "__main__":
    main()
