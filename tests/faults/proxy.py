"""A TCP relay on loopback that a test may stall, slow down or cut: what happens on a wire, without touching the kernel."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Final, Self

#: Bytes taken at once, and what each socket holds: small, so that a stalled wire is felt soon.
_CHUNK: Final = 16_384


class _Way:
    """One direction of every connection: open or shut, and how fast."""

    def __init__(self) -> None:
        self.flowing = threading.Event()
        self.flowing.set()
        self.bytes_s: float | None = None
        self.moved = 0


class _Connection:
    """One client, and our connection to the target for it."""

    def __init__(self, client: socket.socket, target: socket.socket) -> None:
        self.client = client
        self.target = target
        #: Forgotten: both ends stay open, and nothing moves any more.
        self.forgotten = threading.Event()
        self._released = threading.Event()

    def end(self) -> None:
        """Have both ends closed."""
        self._released.set()
        for end in (self.client, self.target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the sockets; those of a forgotten connection only when it is ended."""
        if self.forgotten.is_set():
            self._released.wait()
        self.client.close()
        self.target.close()


class Proxy:
    """Relays connections to a port of this machine; use it as a context manager.

    `up` is from the client to the server, `down` the answers.

    Attributes:
        port: where clients connect.
        ended_by_target: connections that the server was the first to end.
    """

    host = "127.0.0.1"

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CHUNK)
        self._listener.bind((self.host, 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self.up, self.down = _Way(), _Way()
        self.ended_by_target = 0
        self._connections: list[_Connection] = []
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.set()
        self.heal()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(10)
        self._listener.close()
        self.cut()

    def stall(self, *, up: bool = True, down: bool = True) -> None:
        """Let nothing through, and close nothing; what was sent goes on after `heal`."""
        for way, shut in ((self.up, up), (self.down, down)):
            if shut:
                way.flowing.clear()

    def slow(self, bytes_s: float) -> None:
        """Let this much through a second and direction, also after a stall."""
        for way in (self.up, self.down):
            way.bytes_s = bytes_s
            way.flowing.set()

    def heal(self) -> None:
        """Everything flows, as fast as it can."""
        for way in (self.up, self.down):
            way.bytes_s = None
            way.flowing.set()

    def forget(self, *, tell_target: bool = False) -> None:
        """The connections there are become half open: what they hold is gone, and their client sees no FIN; new ones work.

        Args:
            tell_target: the server sees its end closed.
        """
        with self._lock:
            for connection in self._connections:
                connection.forgotten.set()
                if tell_target:
                    with suppress(OSError):
                        connection.target.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End every connection, forgotten ones too."""
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.end()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            target = socket.socket()
            target.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CHUNK)
            try:
                target.connect((self.host, self._target))
            except OSError:
                target.close()
                client.close()
                continue
            for end in (client, target):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(client, target)
            with self._lock:
                self._connections.append(connection)
            pumps = [
                threading.Thread(target=self._pump, args=(connection, *ends, way), daemon=True)
                for ends, way in (((client, target), self.up), ((target, client), self.down))
            ]
            threading.Thread(target=self._serve, args=(connection, pumps), daemon=True).start()

    def _serve(self, connection: _Connection, pumps: list[threading.Thread]) -> None:
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        if not connection.forgotten.is_set():
            with self._lock, suppress(ValueError):
                self._connections.remove(connection)
        connection.close()

    def _pump(self, connection: _Connection, source: socket.socket, sink: socket.socket, way: _Way) -> None:
        while True:
            size = _CHUNK if way.bytes_s is None else max(1, min(_CHUNK, round(way.bytes_s / 20)))
            try:
                data = source.recv(size)
            except OSError:
                data = b""
            way.flowing.wait()
            if connection.forgotten.is_set():
                return
            if not data:
                self.ended_by_target += source is connection.target
                with suppress(OSError):
                    sink.shutdown(socket.SHUT_WR)
                return
            if way.bytes_s is not None:
                time.sleep(len(data) / way.bytes_s)
            try:
                sink.sendall(data)
            except OSError:
                connection.end()
                return
            way.moved += len(data)
