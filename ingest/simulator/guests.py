"""A few devices of other makers, each in its own dialect: they appear on the devices page as new, and lamps obey.

Everything they say is what such systems document; nothing of it goes around the broker.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, NamedTuple

import msgspec

from ingest.simulator.link import Will
from ingest.simulator.noise import drift
from ingest.simulator.water import battery, flood_gauge

_encode = msgspec.json.encode
#: How often they report.
REPORT_S: Final = 15.0
_SEED: Final = 2025


class Said(NamedTuple):
    """A message of a guest."""

    topic: str
    payload: bytes
    retain: bool = False


class Guest(ABC):
    """One device, or one gateway with its devices, of another maker.

    Attributes:
        key: names its connection.
        subscriptions: topics on which it is told something.
        will: what the broker says when it vanishes.
    """

    key: str
    subscriptions: tuple[str, ...] = ()
    will: Will | None = None

    def hello(self, now: float) -> Sequence[Said]:
        """What it says when it comes up, each time."""
        del now
        return ()

    @abstractmethod
    def report(self, now: float) -> Sequence[Said]:
        """What it says every `REPORT_S`."""

    def told(self, topic: str, payload: bytes, now: float) -> Sequence[Said]:
        """What it answers to a message on one of its subscriptions."""
        del topic, payload, now
        return ()


class ZigbeeLamp(Guest):
    """A lamp in an alley, behind Zigbee2MQTT; switched off it keeps its brightness, as such lamps do."""

    key = "zigbee2mqtt"
    _name = "Đèn hẻm 42 Hoàng Diệu 2"
    subscriptions = (f"zigbee2mqtt/{_name}/set",)
    will = Will("zigbee2mqtt/bridge/state", b'{"state":"offline"}', retain=True)

    def __init__(self) -> None:
        self._on, self._brightness = True, 254

    def hello(self, now: float) -> Sequence[Said]:
        """The bridge lists its devices."""
        features = [
            {"type": "binary", "name": "state", "property": "state", "access": 7, "value_on": "ON", "value_off": "OFF"},
            {"type": "numeric", "name": "brightness", "property": "brightness", "access": 7, "value_max": 254},
        ]
        device: dict[str, Any] = {
            "ieee_address": "0x00158d0003e7f2a1",
            "type": "Router",
            "friendly_name": self._name,
            "supported": True,
            "interview_completed": True,
            "software_build_id": "2.3.093",
            "definition": {
                "model": "LED1836G9",
                "vendor": "IKEA",
                "description": "LED bulb, dimmable",
                "exposes": [{"type": "light", "features": features}],
            },
        }
        return (
            Said("zigbee2mqtt/bridge/state", b'{"state":"online"}', retain=True),
            Said("zigbee2mqtt/bridge/devices", _encode([device]), retain=True),
            Said(f"zigbee2mqtt/{self._name}/availability", b'{"state":"online"}', retain=True),
            *self.report(now),
        )

    def report(self, now: float) -> Sequence[Said]:
        """Its state as one object."""
        state = {"state": "ON" if self._on else "OFF", "brightness": self._brightness, "linkquality": 112}
        state["last_seen"] = int(now * 1000)
        return (Said(f"zigbee2mqtt/{self._name}", _encode(state)),)

    def told(self, topic: str, payload: bytes, now: float) -> Sequence[Said]:
        """It obeys, and says how it is now."""
        del topic
        wish = _object(payload)
        if wish.get("state") in ("ON", "OFF"):
            self._on = wish["state"] == "ON"
        if isinstance(brightness := wish.get("brightness"), int | float):
            self._brightness = max(1, min(254, round(brightness)))
        return self.report(now)


class TasmotaLamp(Guest):
    """A lamp on a Tasmota dimmer with a meter; switched off it keeps its level, as Tasmota does."""

    key = "tasmota"
    _topic = "tasmota_7C2A10"
    subscriptions = (f"cmnd/{_topic}/#",)
    will = Will(f"tele/{_topic}/LWT", b"Offline", retain=True)

    def __init__(self) -> None:
        self._on, self._percent = True, 100

    def hello(self, now: float) -> Sequence[Said]:
        """Birth, then state and sensors."""
        return (Said(f"tele/{self._topic}/LWT", b"Online", retain=True), *self.report(now))

    def report(self, now: float) -> Sequence[Said]:
        """`STATE` and `SENSOR`, with the local time that Tasmota stamps."""
        stamp = datetime.fromtimestamp(now + 7 * 3600, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        power = 62.0 * self._percent / 100 if self._on else 0.0
        volts = 226 + 2 * drift(_SEED, self._topic, now, 700)
        energy = {"Total": 412.7, "Power": round(power), "Voltage": round(volts), "Current": round(power / volts, 3)}
        return (
            Said(f"tele/{self._topic}/STATE", _encode({"Time": stamp} | self._state())),
            Said(f"tele/{self._topic}/SENSOR", _encode({"Time": stamp, "ENERGY": energy | {"Factor": 0.96}})),
        )

    def told(self, topic: str, payload: bytes, now: float) -> Sequence[Said]:
        """`Power` ON or OFF, `Dimmer` 0 to 100; the answer is `RESULT`."""
        del now
        command, word = topic.rpartition("/")[2].casefold(), payload.decode("utf-8", "replace").strip().upper()
        if command == "power" and word in ("ON", "OFF"):
            self._on = word == "ON"
        elif command == "dimmer" and word.isdigit():
            self._on, self._percent = word != "0", min(100, int(word)) or self._percent
        return (Said(f"stat/{self._topic}/RESULT", _encode(self._state())),)

    def _state(self) -> dict[str, Any]:
        return {"POWER": "ON" if self._on else "OFF", "Dimmer": self._percent}


class HomeAssistantStation(Guest):
    """An air sensor at a school that announces itself by Home Assistant's discovery, as ESPHome does."""

    key = "esphome"
    _base = "truong-hoc-linh-trung"
    will = Will(f"{_base}/status", b"offline", retain=True)

    def hello(self, now: float) -> Sequence[Said]:
        """One configuration for each quantity, then its values."""
        del now
        quantities = (("pm25", "PM2.5", "µg/m³", "pm25"), ("temperature", "Nhiệt độ", "°C", "temperature"))
        device = {"ids": ["esp32-4f9a"], "name": "Trạm bụi trường tiểu học", "mf": "Espressif", "sw": "2026.6.1"}
        configs = (
            {
                "name": name,
                "uniq_id": f"esp32-4f9a-{key}",
                "stat_t": f"{self._base}/sensor/{key}/state",
                "unit_of_meas": unit,
                "dev_cla": device_class,
                "avty_t": f"{self._base}/status",
                "dev": device,
            }
            for key, name, unit, device_class in quantities
        )
        return (
            *(
                Said(f"homeassistant/sensor/{self._base}/{one['uniq_id']}/config", _encode(one), retain=True)
                for one in configs
            ),
            Said(f"{self._base}/status", b"online", retain=True),
        )

    def report(self, now: float) -> Sequence[Said]:
        """Plain values, one topic each."""
        dust, heat = 34 + 9 * drift(_SEED, "esp-dust", now, 900), 30.5 + 2 * drift(_SEED, "esp-heat", now, 3600)
        return (
            Said(f"{self._base}/sensor/pm25/state", f"{dust:.0f}".encode()),
            Said(f"{self._base}/sensor/temperature/state", f"{heat:.1f}".encode()),
        )


class LoraDevice(Guest):
    """A device on LoRaWAN, as ChirpStack speaks of it."""

    _eui: str
    _application: tuple[str, str]
    _name: str
    _tags: ClassVar[dict[str, str]]

    def __init__(self) -> None:
        self._count = 0

    @property
    def topic(self) -> str:
        """What its topics begin with."""
        return f"application/{self._application[0]}/device/{self._eui}"

    def event(self, kind: str, now: float, **said: Any) -> Said:
        """Something the network server tells of it."""
        number, name = self._application
        info = {"applicationId": number, "applicationName": name, "devEui": self._eui, "deviceName": self._name}
        body = {"time": datetime.fromtimestamp(now, UTC).isoformat(), "deviceInfo": info | {"tags": self._tags}}
        return Said(f"{self.topic}/event/{kind}", _encode(body | said))

    def uplink(self, now: float, values: dict[str, Any]) -> Said:
        """What it measures, as its codec decoded it."""
        self._count += 1
        heard = [{"gatewayId": "0016c001f153a14c", "rssi": -97, "snr": 6.5}]
        number = f"5b0e5f0e-8c1d-4e39-9a0c-{self._count:012x}"
        return self.event(
            "up", now, deduplicationId=number, fCnt=self._count, fPort=2, data="AQ==", object=values, rxInfo=heard
        )


class LoraBin(LoraDevice):
    """A waste bin at a market."""

    key = "chirpstack"
    _eui = "70b3d57ed0061a2b"
    _application = ("4f7d2c4e-0d5b-4a5c-9f44-3b9f3f1f9b10", "rac-thai")
    _name = "Thùng rác chợ Thủ Đức"
    _tags: ClassVar = {"kind": "waste_bin", "period_s": "300"}

    def report(self, now: float) -> Sequence[Said]:
        """How full it is."""
        values = {
            "fill_level": round(100 * ((now / 43_200) % 1)),
            "temperature": round(30 + 2 * drift(_SEED, self._eui, now, 3600), 1),
            "battery": round(100 * battery(_SEED, self._eui, now)),
        }
        return (self.uplink(now, values),)


class LoraLamp(LoraDevice):
    """A lamp on a bridge, of class C: it hears a downlink at once."""

    key = "chirpstack-lamp"
    _eui = "70b3d57ed0061a2c"
    _application = ("9d0c7a31-52c5-4d7e-8a5e-6a3c0b8f2e41", "chieu-sang")
    _name = "Đèn cầu Rạch Chiếc 3"
    _tags: ClassVar = {"kind": "streetlight"}
    subscriptions = (f"application/{_application[0]}/device/{_eui}/command/down",)

    def __init__(self) -> None:
        super().__init__()
        self._percent = 80

    def report(self, now: float) -> Sequence[Said]:
        """How bright it is."""
        state = "on" if self._percent else "off"
        return (self.uplink(now, {"dim": self._percent, "powerState": state, "power": round(0.9 * self._percent, 1)}),)

    def told(self, topic: str, payload: bytes, now: float) -> Sequence[Said]:
        """A gateway sends the downlink, the lamp acknowledges it, and reports what it does."""
        del topic
        order = _object(payload)
        wish = order.get("object")
        if not isinstance(wish, dict) or not isinstance(wish.get("dim"), int | float):
            return ()
        self._percent = max(0, min(100, round(wish["dim"])))
        item = {"queueItemId": order.get("id", ""), "fCntDown": self._count}
        sent = self.event("txack", now, downlinkId=self._count, gatewayId="0016c001f153a14c", **item)
        return (sent, self.event("ack", now, acknowledged=True, **item), *self.report(now))


class ThingsBoardGateway(Guest):
    """A gateway with a rain gauge and a lamp, in ThingsBoard's gateway API."""

    key = "thingsboard"
    _rain, _lamp = "Trạm mưa Long Trường", "Đèn công viên Cát Lái"
    subscriptions = ("v1/gateway/rpc",)

    def __init__(self) -> None:
        self._level = 0.8

    def hello(self, now: float) -> Sequence[Said]:
        """Both devices are connected."""
        connected = (Said("v1/gateway/connect", _encode({"device": name})) for name in (self._rain, self._lamp))
        return (*connected, *self.report(now))

    def report(self, now: float) -> Sequence[Said]:
        """Values with the gateway's time."""
        stamp = int(now * 1000)
        rain = max(0.0, 3 * drift(_SEED, self._rain, now, 1200))
        values = {
            self._rain: [{"ts": stamp, "values": {"rainfall": round(rain, 1), "battery": 91}}],
            self._lamp: [{"ts": stamp, "values": self._shines()}],
        }
        return (Said("v1/gateway/telemetry", _encode(values)),)

    def told(self, topic: str, payload: bytes, now: float) -> Sequence[Said]:
        """A call for its lamp is obeyed and answered; its own answers come back on the same topic."""
        del topic
        call = _object(payload)
        data = call.get("data")
        if call.get("device") != self._lamp or not isinstance(data, dict) or data.get("method") != "setLight":
            return ()
        level = data.get("params")
        if not isinstance(level, int | float):
            return ()
        self._level = max(0.0, min(1.0, float(level)))
        answer = {"device": self._lamp, "id": data.get("id"), "data": {"success": True}}
        stamped = {self._lamp: [{"ts": int(now * 1000), "values": self._shines()}]}
        return (Said("v1/gateway/rpc", _encode(answer)), Said("v1/gateway/telemetry", _encode(stamped)))

    def _shines(self) -> dict[str, Any]:
        return {"illuminanceLevel": self._level, "powerState": "on" if self._level else "off"}


class FiwareGauge(Guest):
    """A flood gauge behind a FIWARE IoT agent."""

    key = "fiware"

    def report(self, now: float) -> Sequence[Said]:
        """Attributes with their time."""
        level = flood_gauge(_SEED, "fiware-gauge", now, 10.80, 106.75, 1800.0)
        stamp = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
        body = {"waterLevel": round(level, 3), "TimeInstant": stamp.replace("+00:00", "Z")}
        return (Said("/json/4jggokgpepnvsb2uv4s40d59ov/cong-rach-cau-ngang/attrs", _encode(body)),)


class FiwareLamp(Guest):
    """A lamp behind a FIWARE IoT agent."""

    key = "fiware-lamp"
    _api_key, _name = "4jggokgpepnvsb2uv4s40d59ov", "den-ben-do-bach-dang"
    subscriptions = (f"/{_api_key}/{_name}/cmd",)

    def __init__(self) -> None:
        self._level = 1.0

    def report(self, now: float) -> Sequence[Said]:
        """How bright it is, and when."""
        stamp = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = {"illuminanceLevel": self._level, "powerState": "on" if self._level else "off", "TimeInstant": stamp}
        return (Said(f"/json/{self._api_key}/{self._name}/attrs", _encode(body)),)

    def told(self, topic: str, payload: bytes, now: float) -> Sequence[Said]:
        """It says that it has done it, then how bright it is."""
        del topic
        level = _object(payload).get("light")
        if not isinstance(level, int | float):
            return ()
        self._level = max(0.0, min(1.0, float(level)))
        return (Said(f"/json/{self._api_key}/{self._name}/cmdexe", _encode({"light": "ok"})), *self.report(now))


class FrigateRecorder(Guest):
    """A video recorder that sees persons at a gate now and then."""

    key = "frigate"
    _camera = "cong_ubnd"
    will = Will("frigate/available", b"offline", retain=True)

    def __init__(self) -> None:
        self._number = 0

    def hello(self, now: float) -> Sequence[Said]:
        """It is there, and its camera is looked at."""
        del now
        return (
            Said("frigate/available", b"online", retain=True),
            Said(f"frigate/{self._camera}/status/detect", b"online", retain=True),
        )

    def report(self, now: float) -> Sequence[Said]:
        """Statistics, how many persons there are, and one of them as an event."""
        persons = max(0, round(2 + 2 * drift(_SEED, self._camera, now, 300)))
        figures = {"camera_fps": 5.0, "process_fps": 5.0, "skipped_fps": 0.0, "detection_fps": 1.2}
        said = [
            Said("frigate/stats", _encode({"cameras": {self._camera: figures}, "service": {"version": "0.15.0"}})),
            Said(f"frigate/{self._camera}/person", str(persons).encode()),
        ]
        if persons:
            self._number += 1
            seen = {
                "id": f"{now:.6f}-p{self._number}",
                "camera": self._camera,
                "frame_time": now,
                "label": "person",
                "score": 0.84,
                "top_score": 0.91,
                "box": [412, 180, 470, 331],
                "current_zones": ["cong"],
                "entered_zones": ["cong"],
                "start_time": now - 4,
                "end_time": now,
                "stationary": False,
            }
            said.append(Said("frigate/events", _encode({"type": "end", "before": seen, "after": seen})))
        return said


class OnvifCamera(Guest):
    """A camera that tells of a crossed line by itself."""

    key = "onvif"

    def report(self, now: float) -> Sequence[Said]:
        """An event in ONVIF's JSON."""
        event = {
            "UtcTime": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "Source": {"VideoSource": "1", "Rule": "cau-vuot-nga-tu"},
            "Data": {"ObjectId": str(int(now) % 10_000)},
        }
        return (Said("cam-nga-tu-binh-thai/onvif-ej/RuleEngine/LineDetector/Crossed/&1", _encode(event)),)


def all_guests() -> tuple[Guest, ...]:
    """Every guest of the demonstration."""
    return (
        ZigbeeLamp(),
        TasmotaLamp(),
        HomeAssistantStation(),
        LoraBin(),
        LoraLamp(),
        ThingsBoardGateway(),
        FiwareGauge(),
        FiwareLamp(),
        FrigateRecorder(),
        OnvifCamera(),
    )


def _object(payload: bytes) -> dict[str, Any]:
    """A JSON object; an empty one where the payload is none, which no device obeys."""
    try:
        said = msgspec.json.decode(payload)
    except msgspec.MsgspecError:
        return {}
    return said if isinstance(said, dict) else {}
