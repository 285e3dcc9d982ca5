"""The private MQTT broker: Mosquitto on loopback, set up so that a slow or absent consumer loses nothing."""

from __future__ import annotations

import os
import socket
import time
from typing import Final

from ioc.stack.accounts import account, own_folder, write_private
from ioc.stack.home import Home
from ioc.stack.process import Child, find, start, wait_ready

CONFIGURATION = """\
# Written at every start. Anonymous, because it listens on loopback only; docker/mosquitto.conf is the one for a city.
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
connection_messages false
log_dest stderr
log_type error
log_type warning
log_type notice

# Acknowledged messages survive an orderly stop, and all but the last seconds a kill.
persistence true
persistence_location {folder}/
autosave_interval 10
persistent_client_expiration 14d

# The default of 20 unacknowledged messages caps a batching consumer at a few hundred messages a second; the default
# queue of 1,000 silently drops the rest while the consumer is away. Half of this machine's memory may fill before that.
max_inflight_messages 20000
max_queued_messages {messages}
max_queued_bytes {size}

# Larger packets end their sender's connection; message_size_limit would drop them and acknowledge them all the same.
max_packet_size 16777216
"""

#: What a queued message takes in memory beside its payload, generously.
_OVERHEAD: Final = 500
#: MQTT 3.1.1 CONNECT of a clean session named by the broker, and the CONNACK that answers it.
_CONNECT = bytes([0x10, 12, 0, 4]) + b"MQTT" + bytes([4, 2, 0, 10, 0, 0])
_CONNACK = bytes([0x20, 2, 0, 0])


class Broker:
    """One private Mosquitto."""

    def __init__(self, home: Home) -> None:
        self._program = find("mosquitto", "mosquitto")
        self._user = account("mosquitto", "mosquitto")
        self._folder = home.state / "mosquitto"
        self._log = home.log / "mosquitto.log"

    def url(self, port: int) -> str:
        """URL of the broker."""
        return f"mqtt://127.0.0.1:{port}"

    def start(self, port: int) -> Child:
        """Start the broker on a loopback port and wait until it answers a CONNECT."""
        own_folder(self._folder, self._user)
        path = self._folder / "mosquitto.conf"
        quarter = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
        text = CONFIGURATION.format(port=port, folder=self._folder, messages=quarter // _OVERHEAD, size=quarter)
        write_private(path, text, self._user)
        child = start("mosquitto", [self._program, "-c", path], log=self._log, user=self._user)
        return wait_ready(child, lambda: answers("127.0.0.1", port), 30)


def answers(host: str, port: int, patience_s: float = 2.0) -> bool:
    """Whether an MQTT broker that lets us in anonymously answers there within that time."""
    try:
        with socket.create_connection((host, port), timeout=patience_s) as connection:
            connection.sendall(_CONNECT)
            return connection.recv(4) == _CONNACK
    except OSError:
        time.sleep(0.05)
        return False
