"""An edge node of pysparkplug with one lamp, driven by lines on its standard input, telling what it is told on its output.

python sparkplug_node.py HOST PORT GROUP NODE

power 43    the lamp's data, by alias alone        lose        a message is lost on the way
obey        what is written shows in its data
die, live   the lamp's death and birth             leave       a clean farewell
"""

from __future__ import annotations

import json
import queue
import sys
import threading
from typing import Any

from pysparkplug import Client, DataType, Device, EdgeNode, Message, Metric, get_current_timestamp

POWER, DIMMING, SWITCH = 10, 11, 12
NAMES = {DIMMING: "Lamp/Dimming", SWITCH: "Lamp/PowerState"}


def lamp_metrics() -> list[Metric]:
    """What the lamp's birth declares."""
    now = get_current_timestamp()
    return [
        Metric(timestamp=now, name="Lamp/Power", datatype=DataType.UINT16, value=41, alias=POWER),
        Metric(timestamp=now, name="Lamp/Dimming", datatype=DataType.UINT8, value=60, alias=DIMMING),
        Metric(timestamp=now, name="Lamp/PowerState", datatype=DataType.BOOLEAN, value=True, alias=SWITCH),
    ]


def tell(what: str, content: Any = None) -> None:
    """Say what happened."""
    # Line and end at once: threads tell.
    print(f"{json.dumps([what, content])}\n", end="", flush=True)


class Alone(Client):
    """A client that sends metrics by their alias alone after the birth, as the specification asks; the library sends both."""

    def publish(self, message: Message, *, include_dtypes: bool = False) -> None:
        """Publish a message."""
        if "DATA" in message.topic.message_type:
            payload = message.payload
            metrics = tuple(Metric(**{**one.__dict__, "name": None}) for one in payload.metrics)
            object.__setattr__(payload, "metrics", metrics)
            include_dtypes = False
        super().publish(message, include_dtypes=include_dtypes)
        if "DBIRTH" in message.topic.message_type:
            tell("born")


def main() -> None:
    """Live until the input ends."""
    host, port, group, name = sys.argv[1:]
    work: queue.Queue[str] = queue.Queue()
    obeys = threading.Event()
    shining: dict[int, Any] = {}

    def commanded(node: EdgeNode, message: Message) -> None:
        del node
        if any(one.name == "Node Control/Rebirth" and one.value is True for one in message.payload.metrics):
            work.put("rebirth")

    def written(node: EdgeNode, message: Message) -> None:
        del node
        values = {one.alias: one.value for one in message.payload.metrics}
        tell("written", {NAMES[alias]: value for alias, value in values.items()})
        if obeys.is_set():
            shining.update(values)
            work.put("shine")

    now = get_current_timestamp()
    node_metrics = [
        Metric(timestamp=now, name="Node Control/Rebirth", datatype=DataType.BOOLEAN, value=False),
        Metric(timestamp=now, name="Properties/Firmware Version", datatype=DataType.STRING, value="4.2"),
        Metric(timestamp=now, name="Voltage", datatype=DataType.FLOAT, value=228.5, alias=1),
    ]
    node = EdgeNode(group, name, node_metrics, client=Alone(), cmd_callback=commanded)
    node.register(Device("lamp-7", lamp_metrics(), cmd_callback=written))
    node.connect(host, port=int(port), blocking=False)

    def listen() -> None:
        for line in sys.stdin:
            work.put(line.strip())
        work.put("end")

    threading.Thread(target=listen, daemon=True).start()
    tell("connected")
    while (order := work.get()) != "end":
        match order.split():
            case ["power", watts]:
                metric = Metric(get_current_timestamp(), "Lamp/Power", DataType.UINT16, value=int(watts), alias=POWER)
                node.update_device("lamp-7", [metric])
            case ["obey"]:
                obeys.set()
            case ["shine"]:
                now, types = get_current_timestamp(), {DIMMING: DataType.UINT8, SWITCH: DataType.BOOLEAN}
                metrics = [
                    Metric(now, NAMES[alias], types[alias], value=value, alias=alias)
                    for alias, value in shining.items()
                ]
                node.update_device("lamp-7", metrics)
            case ["lose"]:
                next(node._EdgeNode__seq_cycler)
            case ["die"]:
                node.deregister("lamp-7")
            case ["live"]:
                node.register(Device("lamp-7", lamp_metrics(), cmd_callback=written))
            case ["rebirth"]:
                tell("rebirth")
                node.disconnect()
                node.connect(host, port=int(port), blocking=False)
            case ["leave"]:
                node.disconnect()
        tell("done", order)


if __name__ == "__main__":
    main()
