"""Whether a device is there, from the availability topics of its entities."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ingest.dialects.homeassistant.config import Availability, Entity
from ingest.dialects.homeassistant.template import Said, rendered
from ioc.errors import RejectedError
from ioc.values import shorten


class _Group(NamedTuple):
    """What one entity, or several alike, says of availability."""

    topics: tuple[Availability, ...]
    mode: str


class Presence:
    """Remembers what was said on availability topics of one device, and what follows from it.

    Entities of a device mostly share one availability. Where they do not, the device is there while one of them is.
    """

    def __init__(self) -> None:
        self._groups: dict[object, _Group] = {}
        self._said: dict[str, bool] = {}
        self._latest: dict[object, bool] = {}

    def follow(self, entities: Iterable[Entity]) -> None:
        """These are its entities now."""
        groups: dict[object, _Group] = {}
        for entity in entities:
            if entity.availability:
                told = (entity.mode, *((one.source.topic, one.there, one.gone) for one in entity.availability))
                groups.setdefault(told, _Group(entity.availability, entity.mode))
        self._groups = groups
        listed = {one.source.topic for group in groups.values() for one in group.topics}
        self._said = {topic: there for topic, there in self._said.items() if topic in listed}
        self._latest = {told: there for told, there in self._latest.items() if told in groups}

    def hear(self, topic: str, said: Said) -> str | None:
        """What was said on a topic; returns the device's state, or None when that is not known yet.

        Raises:
            RejectedError: `value`, when it is none of the expected words, or `shape`, when a template is not evaluated.
        """
        fault = RejectedError("value", f"availability: got {shorten(said.text)}, on no topic of it")
        understood = False
        for told, group in self._groups.items():
            for one in group.topics:
                if one.source.topic != topic:
                    continue
                if one.source.refusal:
                    fault = RejectedError("shape", f"availability: {one.source.refusal}")
                    continue
                word = rendered(one.source.template.value(said))
                if word in (one.there, one.gone):
                    understood = True
                    self._said[topic] = self._latest[told] = word == one.there
                else:
                    expected = f"expected {shorten(one.there)} or {shorten(one.gone)}"
                    fault = RejectedError("value", f"availability: got {shorten(word)}, {expected}")
        if not understood:
            raise fault
        verdicts = [self._verdict(told, group) for told, group in self._groups.items()]
        if True in verdicts:
            return "online"
        return None if None in verdicts else "offline"

    def _verdict(self, told: object, group: _Group) -> bool | None:
        """Whether it is there, None when not all was heard that decides it."""
        heard = [self._said.get(one.source.topic) for one in group.topics]
        match group.mode:
            case "all":
                return False if False in heard else None if None in heard else True
            case "any":
                return True if True in heard else None if None in heard else False
        return self._latest.get(told)
