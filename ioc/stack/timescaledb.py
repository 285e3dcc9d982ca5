"""TimescaleDB: from the distribution where it has a package, else built beside a private copy of PostgreSQL.

PostgreSQL finds its libraries and extensions relative to its own programs, so a copy of Debian's tree with the extension added
works where it lies, and the machine's PostgreSQL stays as it is. Server and headers are both taken from the archive, in one
version: an extension built with the headers of a later minor release does not load into the server that happens to be installed.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ioc.errors import StackError
from ioc.stack.debian import Archive, candidate, depends
from ioc.stack.home import SYSTEM_CACHE, Home, build_cache
from ioc.stack.postgres_tree import has_timescaledb, installed_postgres
from ioc.stack.steps import Progress

#: PostgreSQL versions that Debian's source of TimescaleDB supports.
SUPPORTED = range(14, 18)
#: Packages of a server of one major version, its programs and its headers.
SERVER = ("postgresql-{}", "postgresql-client-{}", "postgresql-server-dev-{}")
#: Packages of headers that those of PostgreSQL's server include.
HEADERS = ("libpq-dev", "libssl-dev", "krb5-multidev", "libkrb5-dev")
#: Newest PostgreSQL that is looked for in the distribution.
NEWEST = 20


def is_missing() -> bool:
    """Whether there is no TimescaleDB on this machine yet: not from the distribution, and not built for its server."""
    return _ready() is None


def _ready() -> Path | None:
    """The PostgreSQL with TimescaleDB that is there: the distribution's, else the one built for its server."""
    for root in installed_postgres():
        if has_timescaledb(root):
            return root
    server = buildable()
    return None if server is None else cached(server)


def packages() -> list[str]:
    """Debian packages of PostgreSQL, with TimescaleDB where the distribution has it; [] when a server to build for is there.

    Raises:
        StackError: when no suitable PostgreSQL is offered.
    """
    for version in range(NEWEST, SUPPORTED[0] - 1, -1):
        if candidate(f"postgresql-{version}-timescaledb"):
            return [f"postgresql-{version}", f"postgresql-{version}-timescaledb"]
    if buildable() is not None:
        return []
    for name in depends("postgresql"):
        match = re.fullmatch(r"postgresql-(\d+)", name)
        if match and int(match[1]) in SUPPORTED:
            return [name]
    raise StackError(
        f"apt offers no PostgreSQL {SUPPORTED[0]} to {SUPPORTED[-1]}: set IOC_DATABASE_URL to a TimescaleDB that runs elsewhere"
    )


def will_build(servers: list[str]) -> bool:
    """Whether TimescaleDB has to be built once these packages are installed."""
    return not any(name.endswith("-timescaledb") for name in servers)


def buildable() -> Path | None:
    """The newest installed PostgreSQL that the source package supports."""
    return next((root for root in installed_postgres() if int(root.name) in SUPPORTED), None)


def linked(home: Home) -> bool:
    """Whether the runtime folder points to the PostgreSQL that `provide` would choose."""
    root = _ready()
    return root is not None and (home.path / "pgsql").resolve() == root.resolve()


def fingerprint() -> list[str]:
    """What the choice of PostgreSQL depends on: the installed servers, as they are on the disk."""
    return [f"{root} {_version(root)} {has_timescaledb(root)}" for root in installed_postgres()]


def provide(progress: Progress, home: Home) -> None:
    """Make `<home>/pgsql` point to a PostgreSQL that has TimescaleDB, building it if no cache has it."""
    link = home.path / "pgsql"
    root = _ready()
    if root is None:
        server = buildable()
        if server is None:
            raise StackError("no PostgreSQL server is installed: run `make setup` again, it installs one")
        root = _build(progress, server)
    link.unlink(missing_ok=True)
    link.symlink_to(root)


def cached(server: Path) -> Path | None:
    """The tree built before for this very server, from our cache or root's."""
    for cache in dict.fromkeys((build_cache(), SYSTEM_CACHE)):
        root = _tree(cache, server) / "usr" / "lib" / "postgresql" / server.name
        if has_timescaledb(root):
            return root
    return None


def _tree(cache: Path, server: Path) -> Path:
    return cache / f"timescaledb-for-postgresql-{server.name}-{_version(server)}-{platform.machine()}"


def _version(server: Path) -> str:
    """Names an installed server: size and time of its program change with every update."""
    status = (server / "bin" / "postgres").stat()
    return f"{status.st_size}-{int(status.st_mtime)}"


def _build(progress: Progress, server: Path) -> Path:
    """Unpack the archive's server of that major version into the cache, build TimescaleDB against it, install it there."""
    cache = build_cache()
    final = _tree(cache, server)
    with only_one(cache):
        if (found := cached(server)) is not None:
            return found
        work = cache / "build"
        shutil.rmtree(work, ignore_errors=True)
        tree = work / "tree"
        archive = Archive(progress, cache / "apt")
        # Beside the build: nothing of this is installed.
        for deb in archive.download(work / "debs", *(name.format(server.name) for name in SERVER), *HEADERS):
            progress.run("dpkg-deb", "-x", deb, tree)
        source = archive.source(work / "source", "timescaledb")
        include = tree / "usr" / "include"
        progress.say("configuring")
        progress.run(
            *("cmake", "-S", source, "-B", work / "cmake", "-DCMAKE_BUILD_TYPE=Release", "-DAPACHE_ONLY=1"),
            *("-DREGRESS_CHECKS=OFF", "-DTAP_CHECKS=OFF", "-DWARNINGS_AS_ERRORS=OFF", "-DUSE_OPENSSL=0"),
            *(
                "-DSEND_TELEMETRY_DEFAULT=OFF",
                "-DUSE_TELEMETRY=OFF",
                f"-DPG_CONFIG={tree}/usr/lib/postgresql/{server.name}/bin/pg_config",
            ),
            f"-DCMAKE_C_FLAGS=-isystem {include} -isystem {include}/{_triplet()}",
        )
        progress.run("cmake", "--build", work / "cmake", "--parallel", str(os.cpu_count() or 1), "--target", "install")
        shutil.rmtree(include)
        shutil.rmtree(final, ignore_errors=True)
        tree.rename(final)
        shutil.rmtree(work)
    root = final / "usr" / "lib" / "postgresql" / server.name
    if not has_timescaledb(root):
        raise StackError(f"the build left no TimescaleDB in {final}; {progress.log} says why")
    return root


def _triplet() -> str:
    """Debian's name of this architecture in library and include paths."""
    return f"{platform.machine()}-linux-gnu"


@contextmanager
def only_one(cache: Path) -> Iterator[None]:
    """Let one set-up at a time write to the cache; another waits and then finds the result."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
