"""Which MQTT a broker speaks is found out, whichever way an old one refuses the new version."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from structlog.testing import capture_logs

from ioc.broker import BrokerAddress
from ioc.mqtt import V5, V311, Client, Contact
from ioc.stack.embedded import free_port
from tests.fix_stack import BrokerServer

#: CONNACK: unacceptable protocol version.
REFUSED = bytes([0x20, 2, 0, 1])


class Gate:
    """A way to a broker that lets only some versions through.

    Attributes:
        levels: protocol levels that pass (4 is 3.1.1).
        says: what the others are told before the connection is closed.
        asked: the level of every CONNECT, in order.
    """

    def __init__(self, broker: BrokerServer, levels: set[int], says: bytes) -> None:
        self.levels = levels
        self.says = says
        self.asked: list[int] = []
        self._broker = broker
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.contact = Contact(BrokerAddress("127.0.0.1", self._listener.getsockname()[1]))
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Let nobody through any more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._pass, args=(self._listener.accept()[0],), daemon=True).start()

    def _pass(self, visitor: socket.socket) -> None:
        with visitor, suppress(OSError):
            first = visitor.recv(1000)
            level = first[8]  # after the header of a CONNECT of fewer than 128 bytes, and the name MQTT
            self.asked.append(level)
            if level not in self.levels:
                visitor.sendall(self.says)
                return
            with socket.create_connection((self._broker.host, self._broker.port)) as inside:
                inside.sendall(first)
                threading.Thread(target=_pump, args=(inside, visitor), daemon=True).start()
                _pump(visitor, inside)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def gate(broker: BrokerServer, levels: set[int], says: bytes = b"") -> Iterator[Gate]:
    made = Gate(broker, levels, says)
    yield made
    made.close()


def test_contact_broker_of_today(broker: BrokerServer) -> None:
    """It is asked for 5, answers, and is not asked again."""
    with gate(broker, {4, 5}) as way:
        assert [way.contact.protocol() for _ in range(3)] == [V5] * 3
        assert way.asked == [5]


@pytest.mark.parametrize("says", [REFUSED, b"", REFUSED[:3]], ids=["refuses", "hangs up", "hangs up in its answer"])
def test_contact_broker_without_5(broker: BrokerServer, says: bytes) -> None:
    """One that refuses version 5, or hangs up on it, is spoken to in 3.1.1; that is said once."""
    with gate(broker, {4}, says) as way, capture_logs() as logs:
        assert [way.contact.protocol() for _ in range(3)] == [V311] * 3
        assert way.asked == [5, 4]
        way.contact._until = 0.0
        assert way.contact.protocol() is V311
    assert [entry["event"] for entry in logs] == ["the broker speaks MQTT 3.1.1 only"]


def test_contact_broker_replaced(broker: BrokerServer) -> None:
    """After a while it is asked again: an update of the broker needs no restart of the services."""
    with gate(broker, {4}) as way:
        assert way.contact.protocol() is V311
        way.levels = {4, 5}
        way.contact._until = 0.0
        assert way.contact.protocol() is V5


def test_contact_neither(broker: BrokerServer) -> None:
    """Something that answers neither version is an error like any lost connection."""
    with gate(broker, set()) as way, pytest.raises(ConnectionError, match=r"neither MQTT 5 nor 3\.1\.1"):
        way.contact.protocol()


def test_contact_away() -> None:
    """A broker that is away is the error of the connection."""
    with pytest.raises(OSError, match="refused"):
        Contact(BrokerAddress("127.0.0.1", free_port())).protocol()


@pytest.mark.parametrize(("version", "expected"), [("5", V5), ("3.1.1", V311)])
def test_contact_as_set(version: str, expected: object) -> None:
    """A version that is set is spoken without asking."""
    assert Contact(BrokerAddress("nowhere.invalid", 1883), version).protocol() is expected  # type: ignore[arg-type]


@pytest.mark.parametrize("levels", [{4, 5}, {4}, {5}])
def test_client_connects_in_each(broker: BrokerServer, topic: str, levels: set[int]) -> None:
    """The same client publishes and hears its own message, whatever the broker speaks."""
    with gate(broker, levels) as way:
        heard = threading.Event()
        client = Client(way.contact, f"client-{topic}")
        client.on_connect = lambda *_: client.subscribe(topic, 1)
        client.on_subscribe = lambda *_: client.publish(topic, b"word", qos=1)
        client.on_message = lambda *_: heard.set()
        client.connect(way.contact.address.host, way.contact.address.port)
        client.loop_start()
        assert heard.wait(60)
        client.disconnect()
        client.loop_stop()
        assert way.asked[-1] == max(levels)
