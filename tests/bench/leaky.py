"""A bridge with known faults, to try the benchmark on: of every ten messages it drops one and stores one twice.

python -m tests.bench.leaky <broker's port> <topic> <database URL>
"""

from __future__ import annotations

import json
import sys

import paho.mqtt.client as paho
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

DROPPED, DOUBLED = 3, 7


def main() -> None:
    """Store until it is ended."""
    port, topic, url = sys.argv[1:]
    with psycopg.connect(url, autocommit=True) as connection:

        def store(client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
            try:
                said = json.loads(message.payload)
                value = float(said["values"]["pm25"])
            except (ValueError, TypeError, KeyError, OverflowError):
                return
            times = {DROPPED: 0, DOUBLED: 2}.get(said["seq"] % 10, 1)
            for _ in range(times):
                connection.execute(
                    "INSERT INTO reading VALUES (to_timestamp(%s::float8 / 1000), %s, 'pm25', %s)",
                    (said["ts"], said["device"], value),
                )

        client = paho.Client(CallbackAPIVersion.VERSION2, "leaky", clean_session=False)
        client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        client.on_message = store
        client.connect("127.0.0.1", int(port))
        client.loop_forever()


if __name__ == "__main__":
    main()
