"""MQTT clients that speak version 5 or 3.1.1, as their broker does."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from typing import Final, Literal, Self

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from ioc.broker import BrokerAddress
from ioc.settings import Settings

Version = Literal["5", "3.1.1", "auto"]

V5: Final = MQTTProtocolVersion.MQTTv5
V311: Final = MQTTProtocolVersion.MQTTv311
_FIXED: Final[dict[str, MQTTProtocolVersion]] = {"5": V5, "3.1.1": V311}
#: How long a broker's answer holds; one that was replaced meanwhile is asked anew by the next connection.
_HOLDS_S: Final = 60.0
_PATIENCE_S: Final = 10.0
_CONNACK: Final = 0x20
#: "Unsupported protocol version" as 3.1.1 and as 5 say it.
_NOT_THIS_VERSION: Final = (0x01, 0x84)


class Contact:
    """How to reach a broker: where it is, and which MQTT it speaks.

    One for all connections of a process to a broker; any thread.
    """

    def __init__(self, address: BrokerAddress, version: Version = "auto") -> None:
        self.address = address
        self._version = version
        self._found: MQTTProtocolVersion | None = None
        self._until = 0.0
        self._lock = threading.Lock()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The broker of the settings.

        Raises:
            SettingsError: there is none, or its URL is none.
        """
        return cls(BrokerAddress.parse(settings.require("mqtt_url")), settings.mqtt_version)

    def protocol(self) -> MQTTProtocolVersion:
        """The version to connect with. Where the settings leave it open, the broker is asked, first for 5.

        Raises:
            OSError: the broker is away, or speaks neither.
        """
        if self._version != "auto":
            return _FIXED[self._version]
        with self._lock:
            if self._found is None or time.monotonic() > self._until:
                found = self._ask()
                if found is V311 and self._found is not V311:
                    structlog.get_logger().warning("the broker speaks MQTT 3.1.1 only", broker=str(self))
                self._found = found
                self._until = time.monotonic() + _HOLDS_S
            return self._found

    def __str__(self) -> str:
        return f"{self.address.host}:{self.address.port}"

    def _ask(self) -> MQTTProtocolVersion:
        for version in (V5, V311):
            if self._takes(version):
                return version
        raise ConnectionError(f"the broker at {self} answers neither MQTT 5 nor 3.1.1")

    def _takes(self, version: MQTTProtocolVersion) -> bool:
        """Whether the broker answers a CONNECT of this version with anything but "not this version".

        Some brokers (RabbitMQ before 3.13) do not even say that, but hang up.
        """
        with self._connected() as connection:
            try:
                connection.sendall(_connect(self.address, version))
                answer = _receive(connection, 4)
            except ConnectionError:
                answer = b""
            if len(answer) < 4 or answer[0] != _CONNACK:
                return False
            if answer[3] == 0:
                connection.sendall(b"\xe0\x00")
            return answer[3] not in _NOT_THIS_VERSION

    def _connected(self) -> socket.socket:
        address = self.address
        connection = socket.create_connection((address.host, address.port), timeout=_PATIENCE_S)
        if not address.tls:
            return connection
        try:
            return ssl.create_default_context().wrap_socket(connection, server_hostname=address.host)
        except OSError:
            connection.close()
            raise


class Client(paho.Client):
    """A paho client that connects, and connects again, with the version its broker speaks.

    paho fixes the version at the start; between two connections it may change, for which a name is used that paho keeps
    private (`_protocol`; paho's version is pinned).

    Args:
        contact: the broker.
        client_id: unique on the broker; "" = the broker gives one.
        clean: begin with a new session, which ends with the connection. A session that is to be kept needs, for MQTT 5, a
            session expiry among the connect properties too.
        manual_ack: acknowledge nothing by itself.
        reconnect_on_failure: `loop_start` and `loop_forever` connect again.
    """

    def __init__(
        self,
        contact: Contact,
        client_id: str = "",
        *,
        clean: bool = True,
        manual_ack: bool = False,
        reconnect_on_failure: bool = True,
    ) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=clean,
            protocol=V311,
            manual_ack=manual_ack,
            reconnect_on_failure=reconnect_on_failure,
        )
        self._contact = contact
        contact.address.enter(self)

    def reconnect(self) -> MQTTErrorCode:
        """Connect again.

        Raises:
            OSError: the broker is away.
        """
        self._protocol = self._contact.protocol()
        return super().reconnect()


def _connect(address: BrokerAddress, version: MQTTProtocolVersion) -> bytes:
    """A CONNECT of a new session under a name that the broker gives."""
    flags = 0x02
    properties = b"\0" if version is V5 else b""
    payload = b"\0\0"
    if address.user is not None:
        flags |= 0x80
        payload += _string(address.user)
        if address.password is not None:
            flags |= 0x40
            payload += _string(address.password)
    body = b"\0\4MQTT" + struct.pack("!BBH", version, flags, 20) + properties + payload
    length, head = len(body), bytearray([0x10])
    while True:
        length, low = divmod(length, 128)
        head.append(low | (128 if length else 0))
        if not length:
            return bytes(head) + body


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("!H", len(encoded)) + encoded


def _receive(connection: socket.socket, size: int) -> bytes:
    """That many bytes, fewer when the other side hangs up."""
    got = b""
    while len(got) < size and (more := connection.recv(size - len(got))):
        got += more
    return got
