"""Configurations as they come and go: which devices there are, and which topics are listened to for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from ingest.dialect import Describable
from ingest.dialects.homeassistant.config import About, Entity, read
from ingest.dialects.homeassistant.device import Key, Met, is_left_out
from ingest.dialects.homeassistant.lamp import command_topics
from ingest.dialects.homeassistant.uses import Part, Uses
from ingest.intake import Intake
from ioc.errors import RejectedError
from ioc.mapping import steered
from ioc.naming import device_id
from ioc.values import shorten

#: A device with a hundred entities has a configuration of 50 KiB.
_MOST_BYTES: Final = 256 * 1024
#: Configurations, and bytes of all of them: they are kept, and read again at every start.
MOST_CONFIGURATIONS: Final = 20_000
_MOST_BYTES_IN_ALL: Final = 64 * 1024 * 1024

#: The dialect that a topic belongs to, and the device it speaks of there, "" for none; None when the topic is free.
Foreign = Callable[[str], tuple[object, str] | None]


class Place(NamedTuple):
    """A configuration's topic, taken apart; `node` is "" where there is none."""

    topic: str
    component: str
    node: str
    object_id: str


class _Changed(NamedTuple):
    """What a configuration touched."""

    devices: dict[str, Met]
    topics: set[str]


class Configurations:
    """All configurations that hold, and what follows from them.

    Args:
        dialect: the name devices are registered under.
        prefix: what their ids begin with.
        foreign: tells whose a topic is.

    Attributes:
        uses: which topics are named, and for what.
        listening: those that are listened to, and whether what is retained there is wanted.
    """

    def __init__(self, dialect: str, prefix: str, foreign: Foreign) -> None:
        self.uses = Uses()
        self.listening: dict[str, bool] = {}
        self._dialect, self._prefix = dialect, prefix
        self._foreign = foreign
        #: By the configuration's topic: what the message was, and the entities it brought.
        self._digests: dict[str, bytes] = {}
        self._sizes: dict[str, int] = {}
        self._size = 0
        self._entities: dict[str, list[Key]] = {}
        self._met: dict[str, Met] = {}
        self._of: dict[Key, Met] = {}
        self._identified: dict[str, str] = {}

    def take(self, place: Place, payload: bytes, intake: Intake) -> None:
        """Take up a configuration, instead of the one before it on the same topic.

        Raises:
            RejectedError: nothing of it can be used; the one before it stays.
        """
        if len(payload) > _MOST_BYTES:
            raise RejectedError("size", f"a configuration of {len(payload)} bytes, most is {_MOST_BYTES}")
        digest = hashlib.blake2b(payload, digest_size=16).digest()
        if self._digests.get(place.topic) == digest:
            return  # retained, and known since the last process
        configuration = read(place.component, place.node, place.object_id, payload)
        size = self._size - self._sizes.get(place.topic, 0) + len(payload)
        if configuration is not None and (
            size > _MOST_BYTES_IN_ALL
            or (place.topic not in self._digests and len(self._digests) >= MOST_CONFIGURATIONS)
        ):
            most = f"{MOST_CONFIGURATIONS} and {_MOST_BYTES_IN_ALL} bytes"
            raise RejectedError("size", f"there are too many configurations, most is {most}")
        changed = self._unbind(place.topic)
        if configuration is not None:
            for fault in configuration.faults:
                intake.fault(fault)
            for entity in configuration.entities:
                try:
                    self._bind((place.topic, entity.key), entity, changed, intake)
                except RejectedError as error:
                    intake.fault(RejectedError(error.reason, f"{shorten(entity.label)}: {error.detail}"))
        if place.topic in self._entities:
            self._digests[place.topic] = digest
            self._size, self._sizes[place.topic] = size, len(payload)
            intake.remember(place.topic, payload)
        elif self._digests.pop(place.topic, None) is not None:  # nothing of it is used any more
            self._size -= self._sizes.pop(place.topic)
            intake.remember(place.topic, None)
        self._settle(changed, intake)

    def _bind(self, key: Key, entity: Entity, changed: _Changed, intake: Intake) -> None:
        """Give an entity its topics.

        Raises:
            RejectedError: `device`: one is somebody else's; `size`: they are too many.
        """
        states = list(dict.fromkeys(one.topic for one in (entity.state, entity.brightness) if one is not None))
        host = self._host(states)
        if (host is not None and not host[1]) or (host is None and is_left_out(entity)):
            return  # of a bridge, not of a device; or administrative
        device, owner = self._ids(entity.about, host)
        own = states if host is None else []
        self.uses.admit(own, device, owner)
        met = self._met.get(device)
        if met is None:
            met = self._met[device] = Met(device, self._dialect, host[0] if host else None)
        for identifier in entity.about.identifiers:
            self._identified[identifier] = device
            met.identifiers.add(identifier)
        met.entities[key] = entity
        met.tell(entity.about)
        self._of[key] = met
        self._entities.setdefault(key[0], []).append(key)
        changed.devices[device] = met
        for topic in own:
            self.uses.add(topic, Part(met, key, "state"), owner)
        if host is None:
            self._bind_command(met, key, entity, owner)
            self._bind_availability(met, key, entity, intake)
        changed.topics.update(self.uses.named(key))

    def _bind_command(self, met: Met, key: Key, entity: Entity, owner: str) -> None:
        """Give it the topics it wants to be commanded on, or note why not: what we publish there must reach nobody else."""
        topics = command_topics(entity)
        try:
            self._require_free(topics)
            _require_unsteered(topics)
            self.uses.admit(topics, met.id, owner)
        except RejectedError as error:
            met.refusals[key] = error.detail
        else:
            for topic in topics:
                self.uses.add(topic, Part(met, key, "command"), owner)

    def _bind_availability(self, met: Met, key: Key, entity: Entity, intake: Intake) -> None:
        for one in entity.availability:
            topic = one.source.topic
            try:
                self._require_free([topic])
                self.uses.admit([topic], met.id, "")
            except RejectedError as error:
                intake.fault(RejectedError(error.reason, f"{shorten(entity.label)}: availability: {error.detail}"))
            else:
                self.uses.add(topic, Part(met, key, "availability"), "")

    def _unbind(self, config: str) -> _Changed:
        """Take from the entities of a configuration what they have."""
        changed = _Changed({}, set())
        for key in self._entities.pop(config, ()):
            met = self._of.pop(key)
            del met.entities[key]
            met.refusals.pop(key, None)
            changed.devices[met.id] = met
            changed.topics.update(self.uses.remove(key))
        return changed

    def _settle(self, changed: _Changed, intake: Intake) -> None:
        """Let devices and subscriptions follow."""
        for met in changed.devices.values():
            if met.entities:
                via = met.about.via
                met.follow(self._identified.get(via) or device_id(self._prefix, via) if via else "")
                met.introduce(intake)
                continue
            del self._met[met.id]
            for identifier in met.identifiers:
                self._identified.pop(identifier, None)
            if met.host is None:
                intake.state(met.id, None, "offline", "no longer announced")
        for topic in sorted(changed.topics):
            use = self.uses.get(topic)
            if use is None or not use.roles["state"] + use.roles["availability"]:
                if self.listening.pop(topic, None) is not None:
                    intake.unlisten(topic)
                continue
            # A state that is retained was received when it was sent, and would be taken for one of now.
            retained = not use.roles["state"]
            if self.listening.get(topic) is not retained:
                self.listening[topic] = retained
                intake.listen(topic, retained=retained)

    def _ids(self, about: About, host: tuple[Describable, str] | None) -> tuple[str, str]:
        """The device, and the one that has its topics: itself, or what it stands behind."""
        known = (self._identified[name] for name in about.identifiers if name in self._identified)
        device = host[1] if host else next(known, None) or device_id(self._prefix, about.identifiers[0])
        if not about.via:
            return device, device
        return device, self._identified.get(about.via) or device_id(self._prefix, about.via)

    def _host(self, topics: Iterable[str]) -> tuple[Describable, str] | None:
        """The dialect that hears these topics, and the device they speak of, "" for its administration.

        Raises:
            RejectedError: `device`: a topic is one of a dialect whose devices are not described in this way.
        """
        host = None
        for topic in topics:
            whose = self._foreign(topic)
            if whose is None:
                continue
            dialect, device = whose
            if not isinstance(dialect, Describable):
                self._require_free([topic])
            else:
                host = (dialect, device)
        return host

    def _require_free(self, topics: Iterable[str]) -> None:
        for topic in topics:
            if self._foreign(topic) is not None:
                raise RejectedError("device", f"{shorten(topic)} belongs to a dialect of its own")


def _require_unsteered(topics: Iterable[str]) -> None:
    for topic in topics:
        if dialect := steered(topic):
            raise RejectedError("device", f"{shorten(topic)} steers devices of dialect {dialect}")
