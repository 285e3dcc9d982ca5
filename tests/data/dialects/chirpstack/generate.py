"""Writes the samples beside this file, and checks our downlink, with ChirpStack's own messages.

The package is only needed here, and of it the messages alone:

    pip install --no-deps --target /tmp/chirpstack chirpstack-api==4.20.0
    PYTHONPATH=.:/tmp/chirpstack python tests/data/dialects/chirpstack/generate.py

ChirpStack prints its integration messages with every field, also those that are empty, and the gateways' within them without; its
older releases left empty fields out of both. Each sample is written as both would print it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chirpstack_api.integration import integration_pb2 as integration
from google.protobuf import json_format
from google.protobuf.message import Message

from ingest.dialects.chirpstack import Chirpstack
from ioc.model import Device

HERE = Path(__file__).parent
APPLICATION = "6a1f6c2e-7f0a-4b8e-9a55-0d3c1b2a4f10"
AT = "2026-07-01T11:59:%02d.775023242Z"


def about(dev_eui: str, name: str, profile: str, **tags: str) -> integration.DeviceInfo:
    """A device as ChirpStack describes it in every event."""
    return integration.DeviceInfo(
        tenant_id="b2f0c7de-55a4-4c0e-8a63-6f6d2f0c9a01",
        tenant_name="Thủ Đức",
        application_id=APPLICATION,
        application_name="Chiếu sáng và ngập",
        device_profile_id="0f6cf1ce-3d59-4a3c-8f0a-74b2f7d9e2aa",
        device_profile_name=profile,
        device_name=name,
        dev_eui=dev_eui,
        device_class_enabled=2,
        tags=tags,
    )


LAMP = about("70b3d57ed0061a01", "Đèn Võ Nguyên Giáp 12", "Lamp controller", kind="streetlight", light_port="7")
GAUGE = about("70b3d57ed0061a02", "Trạm ngập Thảo Điền", "Flood gauge", kind="flood_gauge")
BARE = about("70b3d57ed0061a03", "Thùng rác 7", "Bin sensor")


def uplink(info: integration.DeviceInfo, second: int, data: bytes, values: dict[str, Any] | None) -> Message:
    """An uplink that two gateways heard."""
    event = integration.UplinkEvent(
        deduplication_id="3b6f5e6c-0d57-4a86-9a4c-6f0e55b9d1c2",
        device_info=info,
        dev_addr="00189440",
        adr=True,
        dr=2,
        f_cnt=61 + second,
        f_port=2,
        data=data,
        region_config_id="as923_2",
    )
    event.time.FromJsonString(AT % second)
    if values is not None:
        event.object.update(values)
    event.rx_info.add(gateway_id="0016c001f153a14c", uplink_id=4217106255, rssi=-109, snr=-3.5)
    event.rx_info.add(gateway_id="0016c001f153a14d", uplink_id=4217106256, rssi=-87, snr=7.25)
    event.tx_info.frequency = 921400000
    event.tx_info.modulation.lora.bandwidth = 125000
    event.tx_info.modulation.lora.spreading_factor = 10
    return event


def at(event: Any, second: int) -> Any:
    """The event, with its time."""
    event.time.FromJsonString(AT % second)
    return event


STATUS = integration.StatusEvent
SAMPLES: dict[str, Message] = {
    "up_lamp": uplink(
        LAMP,
        10,
        b"\x01\x2a",
        {"power": 41.5, "dim": 60, "powerState": "ON", "line": {"voltage": 221.4, "current": 0.19}},
    ),
    "up_gauge": uplink(
        GAUGE,
        12,
        b"\x02",
        {"waterLevel": 1.12, "battery": 88, "sensors": {"a": {"echo": 3}, "b": {"echo": 4}}, "spare": None},
    ),
    "up_without_codec": uplink(BARE, 14, b"\xaa\xbb\xcc", None),
    "up_empty": uplink(BARE, 15, b"", None),
    "status": at(STATUS(device_info=GAUGE, margin=10, battery_level=88.3), 20),
    "status_mains": at(STATUS(device_info=LAMP, margin=9, external_power_source=True), 21),
    "status_unavailable": at(STATUS(device_info=GAUGE, margin=9, battery_level_unavailable=True), 22),
    "join": at(integration.JoinEvent(device_info=GAUGE, dev_addr="00189440"), 1),
    "log_error": at(
        integration.LogEvent(
            device_info=GAUGE,
            level=integration.ERROR,
            code=integration.UPLINK_MIC,
            description="MIC is invalid",
            context={"deduplication_id": "3b6f5e6c-0d57-4a86-9a4c-6f0e55b9d1c2"},
        ),
        30,
    ),
    "log_info": at(
        integration.LogEvent(device_info=GAUGE, code=integration.RELAY_NEW_END_DEVICE, description="new"), 31
    ),
    "ack": at(
        integration.AckEvent(
            device_info=LAMP, queue_item_id="74687564-7563-2d69-0000-00000000002a", acknowledged=True, f_cnt_down=3
        ),
        40,
    ),
    "nack": at(
        integration.AckEvent(device_info=LAMP, queue_item_id="74687564-7563-2d69-0000-00000000002b", f_cnt_down=4), 41
    ),
    "txack": at(integration.TxAckEvent(device_info=LAMP, downlink_id=3461958127, gateway_id="0016c001f153a14c"), 39),
    "location": at(integration.LocationEvent(device_info=GAUGE), 50),
}
SAMPLES["location"].location.latitude = 10.8027  # type: ignore[attr-defined]


def as_printed(event: Message, *, full: bool) -> dict[str, Any]:
    """What ChirpStack's JSON marshaler makes of a message."""
    said: dict[str, Any] = json_format.MessageToDict(event)
    if full:
        said = json_format.MessageToDict(event, always_print_fields_with_no_presence=True) | {
            key: value for key, value in said.items() if key in ("rxInfo", "txInfo", "location")
        }
    said["time"] = said["time"].replace("Z", "+00:00")
    return said


def check_downlink() -> None:
    """Our downlink is one that ChirpStack reads."""
    lamp = Device(
        "lora.70b3d57ed0061a01", "streetlight", "Lamp", None, None, "", "", "chirpstack", "",
        {"application": APPLICATION, "devEui": LAMP.dev_eui, "light_port": "7"}, "active", "online", None, "", None, None,
    )  # fmt: skip
    (message,) = Chirpstack().light(lamp, 0.6, 42)
    command = json_format.Parse(message.payload, integration.DownlinkCommand())
    assert message.topic == f"application/{APPLICATION}/device/{command.dev_eui}/command/down"
    assert (command.confirmed, command.f_port, dict(command.object)) == (True, 7, {"light": 0.6, "dim": 60.0})
    assert command.id == "74687564-7563-2d69-0000-00000000002a"


if __name__ == "__main__":
    check_downlink()
    for name, event in SAMPLES.items():
        both = {"full": as_printed(event, full=True), "terse": as_printed(event, full=False)}
        (HERE / f"{name}.json").write_text(
            json.dumps(both, ensure_ascii=False, indent=2, sort_keys=True) + "\n", "utf-8"
        )
