"""A ThingsBoard gateway with one lamp, by ThingsBoard's own client, driven by lines on its standard input.

python thingsboard_gateway.py HOST PORT DEVICE

connect, disconnect     telemetry {"ts": …, "values": {…}}     attributes {…}
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tb_gateway_mqtt import TBGatewayMqttClient


def tell(what: str, content: Any = None) -> None:
    """Say what happened."""
    print(json.dumps([what, content]), flush=True)


def main() -> None:
    """Live until the input ends."""
    host, port, device = sys.argv[1:]
    gateway = TBGatewayMqttClient(host, int(port))

    def called(client: TBGatewayMqttClient, call: dict[str, Any]) -> None:
        if "method" in call.get("data", {}):
            tell("called", call)
            client.gw_send_rpc_reply(call["device"], call["data"]["id"], {"success": True})

    gateway.gw_set_server_side_rpc_request_handler(called)
    gateway.connect()
    tell("connected")
    for line in sys.stdin:
        order, _, content = line.strip().partition(" ")
        match order:
            case "connect":
                sent = gateway.gw_connect_device(device, "lamp")
            case "disconnect":
                sent = gateway.gw_disconnect_device(device)
            case "telemetry":
                sent = gateway.gw_send_telemetry(device, json.loads(content))
            case "attributes":
                sent = gateway.gw_send_attributes(device, json.loads(content))
        tell("done", [order, sent.get()])
    gateway.disconnect()


if __name__ == "__main__":
    main()
