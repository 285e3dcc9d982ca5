"""PostgreSQL trees on this machine, and whether they have TimescaleDB."""

from __future__ import annotations

from pathlib import Path


def has_timescaledb(root: Path) -> bool:
    """Whether the PostgreSQL at …/lib/postgresql/NN has the extension; its share folder lies beside lib."""
    root = root.resolve()
    share = root.parent.parent.parent / "share" / "postgresql" / root.name
    return (root / "bin" / "postgres").is_file() and (share / "extension" / "timescaledb.control").is_file()


def installed_postgres() -> list[Path]:
    """PostgreSQL servers of the distribution, newest first."""
    trees = [path for path in Path("/usr/lib/postgresql").glob("[0-9]*") if (path / "bin" / "postgres").is_file()]
    return sorted(trees, key=lambda path: int(path.name), reverse=True)
