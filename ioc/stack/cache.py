"""The private Redis: a unix socket only, nothing on the disk but what can be rebuilt."""

from __future__ import annotations

from pathlib import Path

import redis

from ioc.stack.accounts import account, own_folder, write_private
from ioc.stack.home import Home
from ioc.stack.process import Child, find, start, wait_ready

CONFIGURATION = """\
# Written at every start. A unix socket in a private folder: no port, and nobody else can open it.
port 0
unixsocket {socket}
unixsocketperm 700
dir {folder}
daemonize no
# TimescaleDB is the truth; what is here can be rebuilt, so nothing is saved.
save ""
appendonly no
maxmemory 1gb
maxmemory-policy noeviction
loglevel notice
logfile ""
"""


class Cache:
    """One private Redis."""

    def __init__(self, home: Home) -> None:
        self._program = find("redis-server", "redis-server")
        self._user = account("redis", "redis-server")
        self._folder = home.state / "redis"
        self._socket = home.socket("redis")
        self._log = home.log / "redis.log"

    @property
    def url(self) -> str:
        """URL of the server."""
        return f"unix://{self._socket}"

    def start(self) -> Child:
        """Start the server and wait until it answers a PING."""
        own_folder(self._folder, self._user)
        own_folder(self._socket.parent, self._user)
        self._socket.unlink(missing_ok=True)
        path = self._folder / "redis.conf"
        write_private(path, CONFIGURATION.format(socket=self._socket, folder=self._folder), self._user)
        child = start("redis", [self._program, path], log=self._log, user=self._user)
        return wait_ready(child, lambda: _answers(self._socket), 30)


def _answers(path: Path) -> bool:
    """Whether a Redis answers on the socket."""
    with redis.Redis(unix_socket_path=str(path), socket_timeout=2) as client:
        try:
            return bool(client.ping())
        except redis.exceptions.ConnectionError:
            return False
