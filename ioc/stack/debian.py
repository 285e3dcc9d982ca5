"""Debian: what is installed, installing what is missing, and a private view of the archive.

Installing starts no service, creates no cluster, and upgrades nothing that it need not.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from ioc.errors import StackError
from ioc.stack.process import find
from ioc.stack.steps import Progress

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: The suite whose source package of TimescaleDB is built where the machine's own suite has none.
SOURCE_SUITE = "trixie"
DEFAULT_MIRROR = "http://deb.debian.org/debian"

#: Run as root. policy-rc.d keeps Debian's scripts from starting or stopping any service; both files are removed again.
INSTALL = r"""
set -eu
policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.d/thuduc-ioc.conf
mark='# made by the set-up of thuduc-ioc for the time of an installation'
# Their system services would take the usual ports at the next boot; what somebody had enabled before stays so.
enabled() { command -v systemctl >/dev/null && systemctl -q is-enabled "$1" 2>/dev/null; }
units=
for unit in mosquitto redis-server rabbitmq-server epmd.socket epmd.service; do enabled "$unit" || units="$units $unit"; done
cleanup() {
    for unit in $units; do
        if enabled "$unit"; then systemctl disable "$unit" >/dev/null 2>&1 || echo "$unit stays enabled"; fi
    done
    if [ -f "$policy" ] && grep -qF "$mark" "$policy"; then rm -f "$policy"; fi
    rm -f "$cluster"
    rmdir /etc/postgresql-common/createcluster.d 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP
[ -e "$policy" ] || { printf '#!/bin/sh\n%s\nexit 101\n' "$mark" > "$policy"; chmod 755 "$policy"; }
mkdir -p "${cluster%/*}"
echo 'create_main_cluster = false' > "$cluster"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
dpkg --configure -a
apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends --no-upgrade "$@"
"""


def release() -> dict[str, str]:
    """The fields of /etc/os-release."""
    text = Path("/etc/os-release").read_text("utf-8")
    return dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE))


def has_program(name: str) -> bool:
    """Whether a program is on this machine."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin:/usr/bin") is not None


def update(progress: Progress) -> None:
    """Refresh the system's package lists."""
    progress.run(*as_root(), "apt-get", "-q", "-o", "DPkg::Lock::Timeout=600", "update")


def install(progress: Progress, packages: Iterable[str]) -> None:
    """Install Debian packages without starting anything."""
    progress.run(*as_root(), "sh", "-c", INSTALL, "install", *packages, finish=True)


def as_root() -> list[str]:
    """What to put before a command that needs root.

    Raises:
        StackError: when we are not root and there is no sudo.
    """
    if os.geteuid() == 0:
        return []
    return [find("sudo", "sudo"), "-n"]


def allow_root(packages: Iterable[str]) -> None:
    """Ask for sudo's password now, in the foreground, when it is needed for these packages.

    Raises:
        StackError: naming what to install by hand.
    """
    by_hand = f"as root, run: apt-get install {' '.join(packages)}"
    if not has_program("apt-get"):
        raise StackError(
            "this machine has no apt-get: install PostgreSQL with TimescaleDB, Mosquitto and Redis, or use docker/"
        )
    if os.geteuid() == 0:
        return
    if not has_program("sudo"):
        raise StackError(f"Debian packages are missing, and there is no sudo; {by_hand}")
    if subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0:
        return
    print("Debian packages are missing; sudo asks for your password:", flush=True)
    if not sys.stdin.isatty() or subprocess.run(["sudo", "-v"], check=False).returncode:
        raise StackError(f"sudo refused; {by_hand}")


def candidate(package: str) -> bool:
    """Whether the configured sources offer a package."""
    said = subprocess.run(
        ["apt-cache", "policy", package], capture_output=True, text=True, check=False, env=_plain()
    ).stdout
    return re.search(r"Candidate: (?!\(none\))\S", said) is not None


def depends(package: str) -> list[str]:
    """The direct dependencies of a package."""
    said = subprocess.run(
        ["apt-cache", "depends", package], capture_output=True, text=True, check=False, env=_plain()
    ).stdout
    return re.findall(r"^ *Depends: (\S+)$", said, re.MULTILINE)


class Archive:
    """A private view of Debian's archive: own lists and cache, nothing of the system changed, no root needed."""

    def __init__(self, progress: Progress, folder: Path) -> None:
        self._progress = progress
        self._folder = folder
        if not KEYRING.exists():
            raise StackError(f"{KEYRING} is missing: install the package debian-archive-keyring")
        for part in ("lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "sources.list").write_text("\n".join(_sources()) + "\n")
        self._configuration = folder / "apt.conf"
        self._configuration.write_text(
            f'Dir::Etc::sourcelist "{folder}/sources.list";\nDir::Etc::sourceparts "-";\n'
            f'Dir::State::Lists "{folder}/lists";\nDir::Cache "{folder}/cache";\n'
            'APT::Sandbox::User "";\nAcquire::Languages "none";\nAcquire::Retries "3";\n'
            "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n"
        )
        progress.say("package lists")
        self._apt("update", "-q")

    def download(self, folder: Path, *packages: str) -> list[Path]:
        """Download binary packages into a folder; apt checks their signatures' chain."""
        folder.mkdir(parents=True, exist_ok=True)
        self._progress.say(f"downloading {' '.join(packages)}")
        self._apt("download", "-q", *packages, folder=folder)
        return sorted(folder.glob("*.deb"))

    def source(self, folder: Path, package: str) -> Path:
        """Download and unpack a source package; returns its folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self._progress.say(f"downloading the source of {package}")
        self._apt("source", "-q", package, folder=folder)
        return next(path for path in sorted(folder.iterdir()) if path.is_dir())

    def _apt(self, *arguments: str, folder: Path | None = None) -> None:
        self._progress.run("apt-get", "-c", self._configuration, *arguments, folder=folder, environment=_plain())


def _plain() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def _sources() -> Iterator[str]:
    """Lines of a sources.list: the machine's own Debian suites, and the source suite from the same mirror."""
    codename = release().get("VERSION_CODENAME", "")
    mirror = DEFAULT_MIRROR
    signed = f"[signed-by={KEYRING}]"
    for uri, suite in configured():
        yield f"deb {signed} {uri} {suite} main"
        if suite == codename:
            mirror = uri
    yield f"deb-src {signed} {mirror} {SOURCE_SUITE} main"


def configured(etc: Path = Path("/etc/apt")) -> list[tuple[str, str]]:
    """Pairs of URI and suite of this machine's binary Debian sources with the component main, in either format."""
    found: list[tuple[str, str]] = []
    for path in (etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))):
        if path.is_file():
            text = path.read_text("utf-8")
            found += re.findall(r"^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(?:\S+\s+)*main\b", text, re.MULTILINE)
    for path in sorted((etc / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text("utf-8")):
            fields = {key.lower(): value.split() for key, value in re.findall(r"^(\S+):\s*(.*)$", stanza, re.MULTILINE)}
            if (
                fields.get("enabled") == ["no"]
                or "deb" not in fields.get("types", [])
                or "main" not in fields.get("components", [])
            ):
                continue
            found += [(uri, suite) for uri in fields.get("uris", []) for suite in fields.get("suites", [])]
    return [(uri.rstrip("/"), suite) for uri, suite in dict.fromkeys(found) if "debian" in uri]
