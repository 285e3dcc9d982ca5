"""Sparkplug B: edge nodes that say by births what they and their devices measure, by deaths that they are gone.

    spBv1.0/<group>/NBIRTH, NDATA, NDEATH/<node>
    spBv1.0/<group>/DBIRTH, DDATA, DDEATH/<node>/<device>
    spBv1.0/<group>/NCMD/<node>, DCMD/<node>/<device>     to them

A node is a device, and its devices stand below it. Births give metrics their aliases and datatypes, so they are remembered over
restarts. Messages are numbered: what is missing becomes an event of the node, and the node is asked to be born again, which
states every value anew. The same is asked where something cannot be understood, and once after a restart, because most nodes send
at QoS 0 and what they sent meanwhile is lost. After the Eclipse Sparkplug specification 3.0; its STATE messages, for edge nodes
that choose among several brokers, are not taken.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from ingest.dialect import Route, Subscription
from ingest.dialects.sparkplug_birth import Birth, birth_of, session_of
from ingest.dialects.sparkplug_data import read_metrics, store
from ingest.dialects.sparkplug_lamp import Attrs, lamp_attrs, writes
from ingest.dialects.sparkplug_payload import BOOLEAN, Said, Write, command, read
from ingest.dialects.sparkplug_sequence import SequenceNumbers
from ingest.intake import Intake
from ingest.lighting import noted, require_lit
from ingest.message import Outgoing
from ioc.errors import RejectedError
from ioc.model import Device, Discovery
from ioc.naming import device_id

NAME: Final = "sparkplug"
PREFIX: Final = "spb"
ROOT: Final = "spBv1.0"
REBIRTH: Final = "Node Control/Rebirth"
#: A node that goes on to need a birth is asked again after so long, then after twice as long, and so on.
ASK_FIRST: Final = timedelta(seconds=10)
ASK_LAST: Final = timedelta(hours=1)
#: `bdSeq` counts to 255; less than this ahead is later, not earlier.
_LATER: Final = 128
#: The attributes that say where a device is reached.
_PLACE: Final = ("group", "node", "device")
_MOST_NAME: Final = 255
_MOST_NODES: Final = 50_000
_MOST_DEVICES: Final = 10_000


class _Member:
    """A node, or one of its devices."""

    __slots__ = ("birth", "content", "discovery", "is_sure", "topic")

    def __init__(self, discovery: Discovery, topic: str) -> None:
        self.discovery = discovery
        #: Where its births come.
        self.topic = topic
        self.birth: Birth | None = None
        #: Digest of the birth.
        self.content = b""
        #: Its aliases are those of its node's present session.
        self.is_sure = False


class _Node:
    """What is known of an edge node and its devices."""

    __slots__ = ("asked", "death", "devices", "has_rested", "node", "patience", "sequence", "unborn")

    def __init__(self, node: _Member) -> None:
        self.node = node
        self.devices: dict[str, _Member] = {}
        self.sequence = SequenceNumbers()
        #: Devices that must be born again, since the node was; those that are not when data come are gone.
        self.unborn: set[str] = set()
        #: Digest of the last death.
        self.death = b""
        #: Its birth is of before a restart: what it said meanwhile may be lost.
        self.has_rested = False
        self.asked: datetime | None = None
        self.patience = ASK_FIRST


class Sparkplug:
    """Decodes births, data and deaths; asks for births; writes to lamps."""

    name = NAME
    prefix = PREFIX
    # Order and what was said before decide what messages mean: one process reads them all.
    subscriptions: Sequence[Subscription] = (
        *(Subscription(f"{ROOT}/+/{kind}/+", "first") for kind in ("NBIRTH", "NDATA", "NDEATH")),
        *(Subscription(f"{ROOT}/+/{kind}/+/+", "first") for kind in ("DBIRTH", "DDATA", "DDEATH")),
    )

    def __init__(self) -> None:
        self._nodes: dict[tuple[str, str], _Node] = {}
        self._kinds: dict[str, Callable[[_Node, _Member, Said, bytes, Intake], None]] = {
            "NBIRTH": self._node_born,
            "DBIRTH": self._device_born,
            "NDATA": self._data,
            "DDATA": self._data,
            "NDEATH": self._node_died,
            "DDEATH": self._device_died,
        }

    def route(self, topic: str) -> Route | None:
        """Where a message of that topic goes."""
        levels = topic.split("/")
        if levels[0] != ROOT:
            return None
        match levels[1:]:
            case [group, "NBIRTH" | "NDATA" | "NDEATH" as kind, node]:
                device = ""
            case [group, "DBIRTH" | "DDATA" | "DDEATH" as kind, node, device] if device:
                pass
            case _:
                raise RejectedError(
                    "topic", f"topic {topic!r}: expected {ROOT}/<group>/NDATA/<node> or DDATA/<node>/<device>"
                )
        if not group or not node or max(map(len, (group, node, device))) > _MOST_NAME:
            raise RejectedError("topic", f"expected a group, node and device of 1 to {_MOST_NAME} characters")
        key = device_id(PREFIX, group, node, *([device] if device else ()))
        return Route(key, NAME, partial(self._decode, kind, group, node, device), of_now=kind.endswith("DEATH"))

    def light(self, device: Device, level: float, order: int) -> Sequence[Outgoing]:
        """A DCMD, or an NCMD to a node that is itself a lamp; what it does shows in its data, no answer names the order."""
        del order
        require_lit(device)
        group, node = noted(device, "group"), noted(device, "node")
        below = device.attrs.get("device")
        topic = f"{ROOT}/{group}/DCMD/{node}/{below}" if below else f"{ROOT}/{group}/NCMD/{node}"
        return [Outgoing(topic, command(time.time_ns() // 1_000_000, writes(device, level)))]

    def _decode(self, kind: str, group: str, name: str, device: str, key: str, payload: bytes, intake: Intake) -> None:
        said = read(payload)
        node = self._nodes.get((group, name))
        if node is None:
            node = self._met_node(group, name)
        member = node.node if not device else node.devices.get(device)
        if member is None:
            member = _met_device(node, group, name, device, key)
        if intake.replayed:
            self._replay(kind, node, member, said, intake)
        else:
            self._kinds[kind](node, member, said, payload, intake)

    @staticmethod
    def _replay(kind: str, node: _Node, member: _Member, said: Said, intake: Intake) -> None:
        """Of what lay in quarantine the values are stored that have their names; the aliases of then are not known any more."""
        metrics = read_metrics(said, intake)
        birth = birth_of(metrics) if kind.endswith("BIRTH") else member.birth
        for one in (node.node, member):
            intake.discover(one.discovery)
        store(member.discovery.device, birth, said, metrics, intake, trusts_aliases=False)

    def _met_node(self, group: str, name: str) -> _Node:
        if len(self._nodes) >= _MOST_NODES:
            raise RejectedError("size", f"more than {_MOST_NODES} edge nodes")
        known = Discovery(device_id(PREFIX, group, name), NAME, name, attrs={"group": group, "node": name})
        node = self._nodes[group, name] = _Node(_Member(known, f"{ROOT}/{group}/NBIRTH/{name}"))
        return node

    def _node_born(self, node: _Node, member: _Member, said: Said, payload: bytes, intake: Intake) -> None:
        again = intake.redelivered
        if not (again and member.content == _digest(payload)):
            # A birth that comes again may be followed by what we have not seen: the number is known from the next message.
            node.sequence.begin(None if again else said.seq, said.stamp)
            node.has_rested = again
            if not again:
                node.unborn = set(node.devices)
                for device in node.devices.values():
                    device.is_sure = False
        self._born(member, said, payload, intake)

    def _device_born(self, node: _Node, member: _Member, said: Said, payload: bytes, intake: Intake) -> None:
        self._follow(node, said, intake)
        node.unborn.discard(str(member.discovery.attrs["device"]))
        self._born(member, said, payload, intake)
        if node.node.birth is None:
            _ask(node, intake)

    @staticmethod
    def _born(member: _Member, said: Said, payload: bytes, intake: Intake) -> None:
        """A birth defines the metrics, states all their values, and says that its device lives."""
        metrics = read_metrics(said, intake)
        birth = member.birth = birth_of(metrics)
        member.content = _digest(payload)
        member.is_sure = True
        known = member.discovery
        place: Attrs = {name: known.attrs[name] for name in _PLACE if name in known.attrs}
        member.discovery = Discovery(
            known.device,
            NAME,
            known.name,
            parent=known.parent,
            firmware=birth.firmware,
            attrs={**birth.properties, **lamp_attrs(birth), **place},
        )
        intake.remember(member.topic, payload)
        intake.discover(member.discovery)
        intake.state(known.device, None, "online", "birth")
        store(known.device, birth, said, metrics, intake)

    def _data(self, node: _Node, member: _Member, said: Said, _: bytes, intake: Intake) -> None:
        self._follow(node, said, intake)
        if node.unborn:
            # All devices are born before the first data of a session (specification, 6.4.19).
            for name in sorted(node.unborn):
                _gone(node.devices[name], "not born again with its node", intake)
            node.unborn = set()
        intake.discover(member.discovery)
        is_understood = store(
            member.discovery.device,
            member.birth,
            said,
            read_metrics(said, intake),
            intake,
            trusts_aliases=member.is_sure,
        )
        if not is_understood or member.birth is None or node.node.birth is None or node.has_rested:
            _ask(node, intake)

    def _device_died(self, node: _Node, member: _Member, said: Said, _: bytes, intake: Intake) -> None:
        self._follow(node, said, intake)
        node.unborn.discard(str(member.discovery.attrs["device"]))
        intake.discover(member.discovery)
        _gone(member, "death", intake)

    @staticmethod
    def _node_died(node: _Node, member: _Member, said: Said, payload: bytes, intake: Intake) -> None:
        """A last will, or a farewell: the node and all its devices are gone.

        Its time is that of the connect, so it is true when it comes. One of a session before the known one is late and says
        nothing. Of a session whose birth never came, or without a number, it is believed, but the node asked: who lives answers.
        """
        content = _digest(payload)
        if intake.redelivered and content == node.death:
            return
        session = session_of(read_metrics(said, intake))
        born = None if member.birth is None else member.birth.session
        is_certain = born is None or (session == born and not intake.redelivered)
        if born is not None and session is not None and session != born and (session - born) % 256 >= _LATER:
            return
        node.death = content
        node.sequence.begin(None, None)
        node.unborn = set()
        intake.discover(member.discovery)
        for one in (member, *node.devices.values()):
            reason = "death" if one is member else "death of its node"
            if is_certain:
                _gone(one, reason, intake)
            else:
                intake.state(one.discovery.device, None, "offline", reason)
        if not is_certain:
            _ask(node, intake)

    @staticmethod
    def _follow(node: _Node, said: Said, intake: Intake) -> None:
        """Take a message's number; what is missing is an event."""
        intake.discover(node.node.discovery)
        gap = node.sequence.follow(said.seq, said.stamp, redelivered=intake.redelivered)
        if gap is None:
            return
        if gap.missing is None:  # a session whose birth we missed: its aliases may be others
            for one in (node.node, *node.devices.values()):
                one.is_sure = False
        data = {"expected": gap.expected, "got": gap.got, "missing": gap.missing}
        try:
            intake.event(node.node.discovery.device, said.stamp, "gap", f"{gap.expected} {gap.got}", data)
        except RejectedError as error:
            intake.fault(error)
        _ask(node, intake)


def _met_device(node: _Node, group: str, name: str, device: str, key: str) -> _Member:
    if len(node.devices) >= _MOST_DEVICES:
        raise RejectedError("size", f"more than {_MOST_DEVICES} devices of one edge node")
    attrs: dict[str, Any] = {"group": group, "node": name, "device": device}
    known = Discovery(key, NAME, device, parent=node.node.discovery.device, attrs=attrs)
    member = node.devices[device] = _Member(known, f"{ROOT}/{group}/DBIRTH/{name}/{device}")
    return member


def _gone(member: _Member, reason: str, intake: Intake) -> None:
    """A member's session is over: what its birth defined is void."""
    intake.state(member.discovery.device, None, "offline", reason)
    member.birth, member.content, member.is_sure = None, b"", False
    intake.remember(member.topic, None)


def _ask(node: _Node, intake: Intake) -> None:
    """Ask a node to be born again, unless it was asked just now; a message that was delivered before asks for nothing."""
    if intake.redelivered:
        return
    now, asked = intake.received, node.asked
    if asked is not None:
        waited = now - asked
        if timedelta() <= waited < node.patience:
            return
        node.patience = min(2 * node.patience, ASK_LAST) if waited < 2 * node.patience + ASK_FIRST else ASK_FIRST
    node.asked = now
    node.has_rested = False
    group, name = node.node.discovery.attrs["group"], node.node.discovery.attrs["node"]
    stamp = round(now.timestamp() * 1000)
    intake.send(Outgoing(f"{ROOT}/{group}/NCMD/{name}", command(stamp, [Write(REBIRTH, None, BOOLEAN, value=True)])))


def _digest(payload: bytes) -> bytes:
    return hashlib.blake2b(payload, digest_size=16).digest()
