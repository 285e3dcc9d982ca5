"""The Docker set-up, as far as it can be tried without Docker: complete, consistent, and its broker's rules hold."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion

from ioc.broker import BrokerAddress
from ioc.broker_drops import Drops
from ioc.mqtt import Contact
from ioc.settings import Settings
from ioc.stack.accounts import account, give
from ioc.stack.embedded import CLONE, free_port
from ioc.stack.process import find, start, wait_ready
from ioc.stack.services import SERVICES

DOCKER = CLONE / "docker"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The compose file, anchors resolved."""
    document: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
    return document


def test_every_service_has_a_container(compose: dict[str, Any]) -> None:
    """What `ioc demo` runs, Docker runs too."""
    assert {row.name for row in SERVICES} <= set(compose["services"])


def test_every_secret_is_declared_and_made(compose: dict[str, Any]) -> None:
    """No service asks for a file that secrets.sh does not make."""
    script = (DOCKER / "secrets.sh").read_text("utf-8")
    used = {secret for service in compose["services"].values() for secret in service.get("secrets", [])}
    assert used == set(compose["secrets"])
    assert all(re.search(rf"(keep |touch ){re.escape(name)}\b", script) for name in used)


def test_every_long_running_container_has_a_health_check(compose: dict[str, Any]) -> None:
    """Only the one-shot migration and the simulated devices have none."""
    without = {
        name
        for name, service in compose["services"].items()
        if not service.get("healthcheck") or service["healthcheck"].get("disable")
    }
    assert without == {"migrate", "simulator"}


def test_no_secret_is_written_into_the_compose_file(compose: dict[str, Any]) -> None:
    """Passwords come from files; no container publishes the database or Redis."""
    for service in compose["services"].values():
        for key, value in service.get("environment", {}).items():
            assert not re.search(r"(PASSWORD|SECRET|_URL)$", key), f"{key} holds {value}"
    published = {name for name, service in compose["services"].items() if "ports" in service}
    assert published == {"broker", "emqx", "dashboards"}


def test_services_that_see_have_the_settings_of_privacy(
    compose: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of the box no original is kept and no camera shown clear; a key in its file and a list in the environment are."""
    (tmp_path / "secrets.sh").write_bytes((DOCKER / "secrets.sh").read_bytes())
    path = f"{Path(find('mosquitto_passwd', 'mosquitto')).parent}:{os.environ['PATH']}"
    made = tmp_path / "secrets" / "evidence_master_key"
    chosen = base64.b64encode(bytes(range(32))).decode()
    for key, clear in (("", []), (chosen, ["cam-1"])):
        subprocess.run(["sh", tmp_path / "secrets.sh"], env={"PATH": path}, check=True, stdout=subprocess.DEVNULL)
        if key:
            made.write_text(f"{key}\n")
        for name in ("vision", "vision-gpu", "dashboards"):
            service = compose["services"][name]
            assert service["environment"]["IOC_EVIDENCE_MASTER_KEY_FILE"] == f"/run/secrets/{made.name}"
            assert made.name in service["secrets"]
            monkeypatch.setenv("IOC_EVIDENCE_MASTER_KEY_FILE", str(made))
            given = service["environment"]["IOC_PRIVACY_CLEAR_CAMERAS"]
            default = re.fullmatch(r"\$\{IOC_PRIVACY_CLEAR_CAMERAS:-(.*)\}", given)
            assert default is not None
            monkeypatch.setenv("IOC_PRIVACY_CLEAR_CAMERAS", json.dumps(clear) if clear else default[1])
            settings = Settings.configured()
            assert settings.evidence_master_key.get_secret_value() == key
            assert settings.privacy_clear_cameras == clear
    assert made.read_text().strip() == chosen
    others = {name for name, service in compose["services"].items() if made.name in service.get("secrets", [])}
    assert others == {"vision", "vision-gpu", "dashboards"}


def test_emqx_takes_the_place_of_mosquitto(compose: dict[str, Any]) -> None:
    """On demand, in one version, under the same name, on its own disk, with sessions that outlive it; its files are there."""
    emqx = compose["services"]["emqx"]
    assert emqx["profiles"] == ["emqx"]
    assert re.fullmatch(r"emqx/emqx:\d+\.\d+\.\d+", emqx["image"])
    assert emqx["networks"]["default"]["aliases"] == ["broker"]
    assert emqx["ports"] == compose["services"]["broker"]["ports"]
    mounted = [volume.split(":") for volume in emqx["volumes"]]
    assert all(source in compose["volumes"] or (DOCKER / source).is_file() for source, *_ in mounted)
    text = (DOCKER / "emqx.conf").read_text("utf-8")
    assert re.search(r"^durable_sessions \{enable = true,", text, re.MULTILINE)
    targets = {target for _, target, *_ in mounted} | {f"/run/secrets/{name}" for name in emqx["secrets"]}
    assert set(re.findall(r'"(/[^"]+)"', text)) <= targets
    assert text.count("{") == text.count("}")


def test_both_brokers_have_the_same_rules() -> None:
    """Who may say and hear what is the same in the files of either."""
    actions = {"read": "subscribe", "write": "publish", "readwrite": "all"}
    who, rules = "all", []
    for line in (DOCKER / "mosquitto.acl").read_text("utf-8").splitlines():
        words = line.split()
        if words[:1] == ["user"]:
            who = f'{{username, "{words[1]}"}}'
        elif words[:1] in (["pattern"], ["topic"]):
            topic = words[2].replace("%u", "${username}")
            whose = "all" if words[0] == "pattern" else who
            rules.append(f'{{allow, {whose}, {actions[words[1]]}, ["{topic}"]}}.')
    written = (DOCKER / "emqx.acl").read_text("utf-8").splitlines()
    assert [line for line in written if not line.startswith("%%")] == [*rules, "{deny, all}."]


def test_dockerfiles_exist_and_do_not_run_as_root(compose: dict[str, Any]) -> None:
    """Each image is built from a file that changes to a user of its own."""
    files = {s["build"]["dockerfile"] for s in compose["services"].values() if "build" in s}
    assert files == {str(path.relative_to(CLONE)) for path in DOCKER.glob("*.Dockerfile")}
    for file in files:
        text = (CLONE / file).read_text("utf-8")
        assert "USER ioc" in text
        sources = re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)
        assert all((CLONE / source).exists() for line in sources for source in line.split())


def test_built_package_holds_every_file_the_services_read(tmp_path: Path) -> None:
    """Migrations, catalogues, weights, assets: what is in the clone is in the wheel, as images install it."""
    source = tmp_path / "source"
    tracked = subprocess.run(["git", "ls-files"], cwd=CLONE, capture_output=True, text=True, check=True).stdout.split()
    wanted = [name for name in tracked if name.split("/")[0] in ("ioc", "ingest", "vision", "dashboards")]
    for name in [*wanted, "setup.cfg", "pyproject.toml", "README.md", "LICENSE"]:
        if (CLONE / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((CLONE / name).read_bytes())
    pip = [str(CLONE / ".venv/bin/python"), "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert sorted(name for name in wanted if (CLONE / name).is_file() and name not in inside) == []


@pytest.fixture(scope="module")
def city_broker(runtime: Path) -> Iterator[int]:
    """The broker of the compose file, its paths replaced: port of a Mosquitto with docker/mosquitto.conf and .acl."""
    folder = runtime / "city-broker"
    folder.mkdir()
    (folder / "passwords").touch()
    for name in ("ingest", "capture", "simulator", "health", "lamp-1", "frigate", "chirpstack", "zigbee2mqtt"):
        subprocess.run(
            [find("mosquitto_passwd", "mosquitto"), "-b", folder / "passwords", name, f"{name}-word"], check=True
        )
    port = free_port()
    text = (DOCKER / "mosquitto.conf").read_text("utf-8")
    for old, new in (
        ("listener 1883", f"listener {port} 127.0.0.1"),
        ("/run/secrets/mqtt_passwords", f"{folder}/passwords"),
        ("/mosquitto/config/acl", f"{folder}/acl"),
        ("/mosquitto/data/", f"{folder}/"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / "mosquitto.conf").write_text(text)
    (folder / "acl").write_text((DOCKER / "mosquitto.acl").read_text("utf-8"))
    user = account("mosquitto", "mosquitto")
    for path in (folder, *folder.iterdir()):
        give(path, user)
    child = start(
        "mosquitto", [find("mosquitto", "mosquitto"), "-c", folder / "mosquitto.conf"], log=folder / "log", user=user
    )
    wait_ready(child, lambda: listens(port), 60)
    yield port
    child.stop()


def listens(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def connect(port: int, name: str | None) -> tuple[mqtt.Client, list[str], int]:
    """A client that has connected or was refused: itself, what it hears, the broker's answer (0 = welcome)."""
    heard: list[str] = []
    answers: list[int] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_message = lambda _c, _u, message: heard.append(message.topic)
    client.on_connect = lambda _c, _u, _f, reason, _p: answers.append(reason.value)
    if name is not None:
        client.username_pw_set(name, f"{name}-word")
    client.connect("127.0.0.1", port)
    deadline = time.monotonic() + 60
    while not answers:
        assert time.monotonic() < deadline, "no answer from the broker"
        client.loop(0.05)
    return client, heard, answers[0]


def exchange(speaker: mqtt.Client, listener: mqtt.Client, heard: list[str], expected: int) -> None:
    """Let both work until what is expected has been heard, and then a while longer for what is not."""
    deadline = time.monotonic() + 60
    speaker.loop(0.02)
    while len(heard) < expected and time.monotonic() < deadline:
        speaker.loop(0.02)
        listener.loop(0.02)
    for _ in range(10):
        listener.loop(0.05)


def test_ingest_hears_what_the_city_broker_dropped(city_broker: int) -> None:
    """`#` does not cover `$SYS`: that count has a rule of its own, and nobody else may read it."""
    for name, count in (("ingest", 0), ("health", None)):
        with Drops(Contact(BrokerAddress("127.0.0.1", city_broker, name, f"{name}-word"))) as drops:
            assert drops.wait(60 if count == 0 else 2) == count


def test_broker_refuses_a_client_without_a_name(city_broker: int) -> None:
    """Anonymous is for the demo's loopback listener only."""
    _, _, answer = connect(city_broker, None)
    assert answer != 0


def test_device_speaks_for_itself_alone(city_broker: int) -> None:
    """Its own topics arrive at ingest; those of another device do not, though it may try."""
    ingest, heard, answer = connect(city_broker, "ingest")
    assert answer == 0
    ingest.subscribe("$share/ingest/ioc/+/telemetry", 1)
    ingest.subscribe("ioc/+/announce", 1)
    ingest.loop(0.2)
    device, _, _ = connect(city_broker, "lamp-1")
    for topic in (
        "ioc/lamp-2/telemetry",
        "ioc/lamp-2/announce",
        "ioc/lamp-1/command",
        "ioc/lamp-1/telemetry",
        "ioc/lamp-1/announce",
    ):
        device.publish(topic, b"{}", qos=1)
    exchange(device, ingest, heard, 2)
    assert sorted(heard) == ["ioc/lamp-1/announce", "ioc/lamp-1/telemetry"]


def test_device_hears_its_own_commands_alone(city_broker: int) -> None:
    """A subscription to everything yields only what is meant for it."""
    device, heard, _ = connect(city_broker, "lamp-1")
    device.subscribe("#", 1)
    device.subscribe("ioc/+/command", 1)
    device.loop(0.2)
    ingest, _, _ = connect(city_broker, "ingest")
    for topic in ("ioc/lamp-2/command", "ioc/lamp-1/command"):
        ingest.publish(topic, b"{}", qos=1)
    exchange(ingest, device, heard, 1)
    assert set(heard) == {"ioc/lamp-1/command"}


def test_other_systems_speak_on_their_own_topics(city_broker: int) -> None:
    """A recorder, a network server and a camera reach ingest on their topics, and on nobody else's."""
    said = {
        "frigate": ["frigate/stats", "ioc/cam-1/state", "lamp-1/onvif-ej/VideoSource/MotionAlarm/&1"],
        "chirpstack": ["application/a/device/b/event/up", "application/a/device/b/command/down", "frigate/events"],
        "lamp-1": ["lamp-1/onvif-ej/VideoSource/MotionAlarm/&2", "cam-1/onvif-ej/VideoSource/MotionAlarm/&1"],
    }
    ingest, heard, _ = connect(city_broker, "ingest")
    for wanted in ("frigate/+", "+/onvif-ej/#", "application/+/device/+/event/+", "ioc/+/state"):
        ingest.subscribe(wanted, 1)
    ingest.loop(0.2)
    for number, (name, topics) in enumerate(said.items(), 1):
        speaker, _, answer = connect(city_broker, name)
        assert answer == 0
        for topic in topics:
            speaker.publish(topic, b"{}", qos=1)
        exchange(speaker, ingest, heard, number)
    assert sorted(heard) == sorted(topics[0] for topics in said.values())


def test_devices_of_other_makers_speak_for_themselves_alone(city_broker: int) -> None:
    """Tasmota, a device that Home Assistant would discover, and Zigbee2MQTT reach ingest on their own topics."""
    said = {
        "lamp-1": [
            "tele/lamp-1/STATE",
            "stat/lamp-1/RESULT",
            "homeassistant/sensor/lamp-1/t/config",
            "homeassistant/device/lamp-1/config",
            "devices/lamp-1/state",
            "tele/lamp-2/STATE",
            "homeassistant/sensor/lamp-2/t/config",
            "devices/lamp-2/state",
            "zigbee2mqtt/lamp-1",
        ],
        "zigbee2mqtt": ["zigbee2mqtt/quận/đèn 1", "homeassistant/light/0x1/light/config", "tele/lamp-1/STATE"],
    }
    ingest, heard, _ = connect(city_broker, "ingest")
    for wanted in ("tele/+/+", "stat/+/+", "homeassistant/#", "devices/#", "zigbee2mqtt/#"):
        ingest.subscribe(wanted, 1)
    ingest.loop(0.2)
    for (name, topics), expected in zip(said.items(), (5, 7), strict=True):
        speaker, _, answer = connect(city_broker, name)
        assert answer == 0
        for topic in topics:
            speaker.publish(topic, b"{}", qos=1)
        exchange(speaker, ingest, heard, expected)
    assert sorted(heard) == sorted([*said["lamp-1"][:5], *said["zigbee2mqtt"][:2]])


def test_devices_of_other_makers_hear_their_own_commands(city_broker: int) -> None:
    """What ingest tells them arrives, and nobody else's does."""
    device, heard, _ = connect(city_broker, "lamp-1")
    device.subscribe("#", 1)
    device.loop(0.2)
    ingest, _, _ = connect(city_broker, "ingest")
    for topic in (
        "cmnd/lamp-2/Power",
        "devices/lamp-2/set",
        "zigbee2mqtt/x/set",
        "cmnd/lamp-1/Power",
        "devices/lamp-1/set",
    ):
        ingest.publish(topic, b"ON", qos=1)
    exchange(ingest, device, heard, 2)
    assert set(heard) == {"cmnd/lamp-1/Power", "devices/lamp-1/set"}


def test_network_server_hears_commands(city_broker: int) -> None:
    """A lamp behind it is told by ingest alone."""
    server, heard, _ = connect(city_broker, "chirpstack")
    server.subscribe("application/+/device/+/command/+", 1)
    server.loop(0.2)
    for name, topic in (
        ("lamp-1", "application/a/device/c/command/down"),
        ("ingest", "application/a/device/b/command/down"),
    ):
        speaker, _, _ = connect(city_broker, name)
        speaker.publish(topic, b"{}", qos=1)
        exchange(speaker, server, heard, 1 if name == "ingest" else 0)
    assert heard == ["application/a/device/b/command/down"]


def test_camera_reader_speaks_for_cameras(city_broker: int) -> None:
    """Pictures, states and announcements of any camera arrive; telemetry and commands are not its to send."""
    ingest, heard, _ = connect(city_broker, "ingest")
    ingest.subscribe("ioc/#", 1)
    ingest.loop(0.2)
    capture, _, answer = connect(city_broker, "capture")
    assert answer == 0
    for topic in (
        "ioc/cam-1/telemetry",
        "ioc/cam-1/command",
        "ioc/cam-1/announce",
        "ioc/cam-1/state",
        "ioc/cam-1/frame/1",
    ):
        capture.publish(topic, b"{}", qos=1)
    exchange(capture, ingest, heard, 3)
    assert sorted(heard) == ["ioc/cam-1/announce", "ioc/cam-1/frame/1", "ioc/cam-1/state"]
