"""Messages of our own, on a real broker: each told of once, none of them late."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest import leftovers
from ingest.dialect import Subscription, filters
from ingest.inbox import Inbox
from ingest.link import Link
from ingest.message import Outgoing
from ingest.outbox import LATE, UNHEARD, WITHDRAWN
from ingest.session import Held
from ioc.service import Service
from ioc.settings import Settings
from ioc.stack import broker as private_broker
from tests.fix_ingest import Device, eventually
from tests.fix_stack import BrokerServer, own_port


class Outcomes:
    """What became of messages, in the order it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str | None, datetime]] = []

    def __call__(self, outcome: str | None, handed: datetime) -> None:
        """Called by the link."""
        self.told.append((outcome, handed))

    @property
    def outcomes(self) -> list[str | None]:
        """Without their times."""
        return [outcome for outcome, _ in self.told]


class Listener:
    """A client with a session that the broker keeps for a minute."""

    def __init__(self, broker: BrokerServer, topic: str) -> None:
        self.heard: list[bytes] = []
        self._broker = broker
        self._topic = topic
        self._client: paho.Client

    def open(self) -> None:
        """Connect and subscribe."""
        ready = threading.Event()
        client = self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"listener-{self._topic}", protocol=MQTTProtocolVersion.MQTTv5
        )
        client.on_message = self._on_message
        client.on_connect = lambda client, *_: client.subscribe(self._topic, 1)
        client.on_subscribe = lambda *_: ready.set()
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 60
        client.connect(self._broker.host, self._broker.port, clean_start=False, properties=session)
        client.loop_start()
        assert ready.wait(30)

    def close(self) -> None:
        """Say goodbye; the session stays."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_message(self, client: Any, userdata: Any, message: paho.MQTTMessage) -> None:
        self.heard.append(message.payload)


@pytest.fixture(scope="module")
def link(settings: Settings) -> Iterator[Link]:
    """A link that reads nothing."""
    with Service("link", settings) as service:
        running = Link(service, "test-link", Inbox(most_bytes=1 << 20, most_messages=100), filters((), "", first=True))
        thread = threading.Thread(target=running.run)
        thread.start()
        yield running
        running.stop()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def listener(broker: BrokerServer, topic: str) -> Iterator[Listener]:
    client = Listener(broker, topic)
    client.open()
    yield client
    client.close()


def test_heartbeat_is_not_well_before_the_first_subscription(settings: Settings, broker: BrokerServer) -> None:
    """Who hears nothing yet does not say that it is well, and loses nothing by saying so."""
    service = Service("first", settings)
    wanted = filters((Subscription("t/+"),), "", first=True)
    link = Link(service, "test-first", Inbox(most_bytes=1 << 20, most_messages=100), wanted)
    assert (service.heartbeat().state, service.heartbeat().reason) == ("degraded", "mqtt: not there yet")
    broker.stop()
    thread = threading.Thread(target=link.run)
    thread.start()
    eventually(lambda: "not there yet" not in service.heartbeat().reason)
    assert service.heartbeat().state == "degraded"
    states = []
    broker.start()
    while not link.subscribed.is_set():
        states.append(service.heartbeat().state)
        time.sleep(0.01)
    link.stop()
    thread.join(30)
    assert "ok" not in states[:-1]  # the last one may have been looked at in the moment of the grant
    assert service.heartbeat().state == "ok"


@contextmanager
def running(link: Link) -> Iterator[None]:
    """It runs inside, and has told the broker what is wanted."""
    thread = threading.Thread(target=link.run)
    thread.start()
    assert link.subscribed.wait(60)
    yield
    link.stop()
    thread.join(30)
    assert not thread.is_alive()


def test_what_is_not_granted_is_said_while_it_is_so(
    settings: Settings, broker: BrokerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that grants less than was asked costs messages: it is said, until one grants all."""
    service = Service("granted", settings)
    wanted = filters((Subscription("t/+"),), "", first=True)
    link = Link(service, "test-granted", Inbox(most_bytes=1 << 20, most_messages=100), wanted)
    broker.stop()
    with monkeypatch.context() as patch:
        patch.setattr(private_broker, "CONFIGURATION", f"{private_broker.CONFIGURATION}max_qos 0\n")
        broker.start()
    with running(link):
        assert "mqtt subscription: the broker refuses t/+: QoS 1" in service.heartbeat().reason
        broker.stop()
        broker.start()
        eventually(lambda: service.heartbeat().state == "ok")


def test_session_keeps_what_it_held_until_it_is_known_whether_that_is_wanted(
    settings: Settings, device: Device, topic: str
) -> None:
    """What came while nobody knew is here; what is not wanted comes no more, also where another process had asked for it."""
    service, client = Service("held", settings), f"held-{topic}"
    inbox = Inbox(most_bytes=1 << 20, most_messages=100)
    wanted = filters((Subscription(f"{topic}/+"),), "g", first=True)
    came: list[bytes] = []

    def receive() -> list[bytes]:
        block = inbox.take(0.1)
        came.extend(message[1] for message in (block.messages if block else ()))
        return came

    before = Link(service, client, inbox, wanted)
    before.listen({}, [f"mapped/{topic}/+"])
    with running(before):
        pass
    now = Link(service, client, inbox, filters((Subscription(f"{topic}/+"),), "", first=True))
    with running(now):
        device.send(f"mapped/{topic}/x", b"1")
        device.send(f"{topic}/x", b"2")
        eventually(lambda: receive() == [b"1", b"2"])
        now.listen({})
        eventually(lambda: Held(settings.home, client).recall() == {f"{topic}/+"})
        device.send(f"mapped/{topic}/x", b"3")
        device.send(f"{topic}/x", b"4")
        eventually(lambda: receive() == [b"1", b"2", b"4"])


def test_publish_is_told_of_in_order(link: Link, listener: Listener, topic: str) -> None:
    """More than may be under way at once: all arrive in order, each told of once, with when it was handed over."""
    done, began = Outcomes(), datetime.now(UTC)
    bodies = [str(number).encode() for number in range(200)]
    for body in bodies:
        link.publish(Outgoing(topic, body), within_s=60, done=done)
    eventually(lambda: len(done.told) == 200 and len(listener.heard) == 200)
    assert listener.heard == bodies
    assert set(done.outcomes) == {None}
    assert all(began <= handed <= datetime.now(UTC) for _, handed in done.told)


def test_publish_that_nobody_hears_is_told(link: Link, topic: str) -> None:
    """The broker says whether anybody listens."""
    done = Outcomes()
    link.publish(Outgoing(f"{topic}/nobody", b"x"), within_s=60, done=done)
    eventually(lambda: done.told)
    assert done.outcomes == [UNHEARD]


def test_publish_waits_for_the_broker_but_not_too_long(
    link: Link, listener: Listener, broker: BrokerServer, topic: str
) -> None:
    """While the broker is away messages wait; those whose time is over are not sent when it is back."""
    done = {body: Outcomes() for body in (b"a", b"late", b"b")}
    broker.stop()
    for body, outcome in done.items():
        link.publish(Outgoing(topic, body), within_s=0.2 if body == b"late" else 120, done=outcome)
    time.sleep(0.3)
    assert not any(outcome.told for outcome in done.values())
    broker.start()
    eventually(lambda: all(outcome.told for outcome in done.values()))
    assert done[b"late"].outcomes == [LATE]
    # The listener may be back later than the link: then the broker, started anew, keeps them for its session.
    eventually(lambda: b"b" in listener.heard or done[b"b"].outcomes == [UNHEARD])
    assert b"late" not in listener.heard


def test_publish_that_is_wanted_no_more(link: Link, listener: Listener, broker: BrokerServer, topic: str) -> None:
    """What waits for the broker is asked for again when it is back."""
    wanted, old, new = [True], Outcomes(), Outcomes()
    broker.stop()
    link.publish(Outgoing(topic, b"old"), within_s=120, done=old, wanted=lambda: wanted[0])
    link.publish(Outgoing(topic, b"new"), within_s=120, done=new)
    time.sleep(0.3)
    assert not old.told
    wanted[0] = False
    broker.start()
    eventually(lambda: new.told)
    assert old.outcomes == [WITHDRAWN]
    eventually(lambda: b"new" in listener.heard or new.outcomes == [UNHEARD])
    assert b"old" not in listener.heard


def test_publish_is_not_kept_longer_than_its_time(link: Link, listener: Listener, topic: str) -> None:
    """A receiver that comes back too late does not get it; what has no end it gets."""
    listener.close()
    done = Outcomes()
    link.publish(Outgoing(topic, b"short"), within_s=4.0, done=done)
    link.publish(Outgoing(topic, b"long"), within_s=60.0, done=done)
    link.publish(Outgoing(topic, b"endless"), done=done)
    eventually(lambda: len(done.told) == 3)
    assert done.outcomes == [None, None, None]
    time.sleep(5.5)
    listener.open()
    eventually(lambda: b"endless" in listener.heard)
    assert listener.heard == [b"long", b"endless"]


def ended_at_once(link: Link) -> None:
    """A link's `run` that leaves nothing open."""
    link._woken.close()
    link._wake.close()


def test_session_is_not_ended_when_it_was_not_fetched(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours while a session of another process is fetched must not cost what waits in it."""
    ended: list[str] = []
    monkeypatch.setattr(leftovers, "end_session", lambda contact, client: ended.append(client))
    said: list[object] = []
    monkeypatch.setattr(threading, "excepthook", said.append)

    def fail(link: Link) -> None:
        ended_at_once(link)
        raise ZeroDivisionError("a fault")

    with Service("left", settings) as service:
        links: list[Link] = []
        door = Inbox(most_bytes=1 << 20, most_messages=100)
        rest = leftovers.Leftovers(service, door, filters((), "", first=True), 1, links)
        with monkeypatch.context() as patch:
            patch.setattr(Link, "run", fail)
            assert not rest._fetch("test-left")
        assert (ended, links, len(said)) == ([], [], 1)


def test_broker_that_goes_away_before_a_session_is_ended(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ended another time; ingest goes on."""
    nowhere = settings.model_copy(update={"mqtt_url": f"mqtt://127.0.0.1:{own_port()}"})
    with Service("away", nowhere) as service:
        links: list[Link] = []
        door = Inbox(most_bytes=1 << 20, most_messages=100)
        rest = leftovers.Leftovers(service, door, filters((), "", first=True), 1, links)
        monkeypatch.setattr(Link, "run", ended_at_once)
        assert not rest._fetch("test-away")
        assert not links
