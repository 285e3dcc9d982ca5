"""Where the embedded stack keeps its things: the runtime folder, its state, its sockets, the build cache.

Standard library only: the set-up runs this before any dependency is installed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ioc.errors import StackError

#: Longest path a unix socket may have on Linux, without the closing zero byte.
SOCKET_PATH_MAX = 107
#: Where state goes when root runs the stack from a folder that the servers' own users cannot enter.
SYSTEM_STATE = Path("/var/lib/thuduc-ioc")
SYSTEM_CACHE = Path("/var/cache/thuduc-ioc")


@dataclass(frozen=True)
class Home:
    """The runtime folder of one clone (`.ioc`), always absolute."""

    path: Path

    @classmethod
    def at(cls, path: Path | str) -> Home:
        """The runtime folder at `path`, which need not exist yet."""
        return cls(Path(path).expanduser().resolve())

    @property
    def log(self) -> Path:
        """Folder of the logs: one file per slow set-up step, server and service."""
        return self.path / "log"

    @property
    def media(self) -> Path:
        """Folder of the footage fetched at set-up."""
        return self.path / "media"

    @property
    def stamps(self) -> Path:
        """Folder of the marks that say which set-up steps are done, and for which inputs."""
        return self.path / "stamps"

    @property
    def record(self) -> Path:
        """JSON file with ports, process ids and, while the stack runs, its URLs."""
        return self.path / "stack.json"

    @property
    def state(self) -> Path:
        """Folder of the servers' data.

        PostgreSQL refuses to run as root, so root runs the servers as their Debian users; those cannot enter a clone
        under, say, /root. Then the data lies in `/var/lib/thuduc-ioc/<hash of the clone's path>`.
        """
        if os.geteuid() != 0 or open_to_all(self.path):
            return self.path
        return SYSTEM_STATE / self.key

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits that name this runtime folder."""
        return hashlib.sha256(str(self.path).encode()).hexdigest()[:12]

    def socket(self, name: str) -> Path:
        """Path of a unix socket in a folder of its own, short enough for the kernel."""
        path = self.state / "run" / name / f"{name}.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
            return path
        # In a folder of our own below, made 0700 and checked to be ours.
        base = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp")  # noqa: S108
        return base / f"thuduc-ioc-{self.key}-{name}" / f"{name}.sock"

    def make(self) -> None:
        """Create the folders; secrets lie in a closed one of their own, since the servers' users must enter the others."""
        for folder in (self.path, self.log, self.stamps):
            folder.mkdir(parents=True, exist_ok=True)
        if self.state != self.path:
            self.state.mkdir(parents=True, exist_ok=True)
            (self.state / "clone").write_text(f"{self.path}\n")


def build_cache() -> Path:
    """Folder shared by all clones on this machine for what is built or fetched once.

    Raises:
        StackError: when root names one that the `postgres` user cannot enter.
    """
    named = os.environ.get("IOC_BUILD_CACHE")
    if named:
        path = Path(named).expanduser().resolve()
        if os.geteuid() == 0 and not open_to_all(path):
            raise StackError(
                f"IOC_BUILD_CACHE={path}: the user postgres cannot enter it; name a folder open to all (o+x)"
            )
        return path
    if os.geteuid() == 0:
        return SYSTEM_CACHE
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "thuduc-ioc"


def open_to_all(path: Path) -> bool:
    """Whether any user can reach `path`: every existing folder on the way is `o+x`."""
    for folder in (path, *path.parents):
        try:
            mode = folder.stat().st_mode
        except FileNotFoundError:
            continue
        if not mode & stat.S_IXOTH:
            return False
    return True
