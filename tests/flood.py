"""A publisher fast enough to load a broker from Python: QoS 1 packets in blocks, with a ledger of what was acknowledged."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack


def packet(topic: str, payload: bytes, mid: int, *, again: bool = False) -> bytes:
    """One MQTT 3.1.1 PUBLISH of QoS 1."""
    name = topic.encode()
    body = struct.pack("!H", len(name)) + name + struct.pack("!H", mid) + payload
    length, head = len(body), bytearray([0x3A if again else 0x32])
    while True:
        length, low = divmod(length, 128)
        head.append(low | (128 if length else 0))
        if not length:
            return bytes(head) + body


class Flood:
    """One connection that publishes; reconnects and sends unacknowledged messages again, so that its ledger is complete.

    Attributes:
        acknowledged: indices of the messages the broker has taken, in no order.
        sent_at: when each message was first handed to the socket, epoch seconds.
    """

    def __init__(self, host: str, port: int, *, window: int = 2000) -> None:
        self._address = (host, port)
        self._window = window
        self.acknowledged: set[int] = set()
        self.sent_at: dict[int, float] = {}
        self.sent_again = 0
        self._at = 0
        self._waiting: dict[int, int] = {}

    def publish(
        self,
        messages: Sequence[tuple[str, bytes]],
        *,
        rate: float | None = None,
        until: Callable[[], bool] = lambda: False,
    ) -> None:
        """Publish them all, or until told to stop, at `rate` a second or as fast as the broker takes them."""
        began = time.monotonic() - (self._at / rate if rate else 0)  # what was published before is not due again
        while (self._at < len(messages) or self._waiting) and not until():
            try:
                with self._connected() as connection:
                    again = b"".join(packet(*messages[index], mid, again=True) for mid, index in self._waiting.items())
                    self.sent_again += len(self._waiting)
                    self._serve(connection, messages, again, rate, began, until)
            except OSError:
                time.sleep(0.1)

    def _connected(self) -> socket.socket:
        with ExitStack() as unless_accepted:
            connection = unless_accepted.enter_context(socket.create_connection(self._address, timeout=5))
            connection.sendall(bytes([0x10, 12, 0, 4]) + b"MQTT" + bytes([4, 2, 0, 60, 0, 0]))
            if connection.recv(4)[:1] != b"\x20":
                raise OSError("no CONNACK")
            connection.setblocking(False)
            unless_accepted.pop_all()
        return connection

    def _serve(
        self,
        connection: socket.socket,
        messages: Sequence[tuple[str, bytes]],
        out: bytes,
        rate: float | None,
        began: float,
        until: Callable[[], bool],
    ) -> None:
        waiting, answers = self._waiting, b""
        while (self._at < len(messages) or waiting or out) and not until():
            due = len(messages) if rate is None else min(len(messages), int((time.monotonic() - began) * rate))
            if not out:
                block = []
                while self._at < due and len(waiting) < self._window and len(block) < 200:
                    mid = self._at % 65_535 + 1
                    waiting[mid] = self._at
                    block.append(packet(*messages[self._at], mid))
                    self.sent_at[self._at] = time.time()
                    self._at += 1
                out = b"".join(block)
            readable, writable, _ = select.select(
                [connection], [connection] if out else [], [], 0.002 if rate else 0.05
            )
            if writable:
                out = out[connection.send(out) :]
            if readable:
                data = connection.recv(65_536)
                if not data:
                    raise OSError("closed")
                answers += data
                whole = len(answers) // 4 * 4
                for place in range(0, whole, 4):
                    self.acknowledged.add(waiting.pop(answers[place + 2] << 8 | answers[place + 3]))
                answers = answers[whole:]
