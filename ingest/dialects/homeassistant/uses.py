"""Which topics configurations name, for what, and whose they are; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from ingest.dialects.homeassistant.device import Key, Met
from ioc.errors import RejectedError
from ioc.values import shorten

#: Topics that all configurations together may name, and those of one device.
MOST_TOPICS: Final = 10_000
MOST_TOPICS_OF_ONE: Final = 200

Role = Literal["state", "availability", "command"]


class Part(NamedTuple):
    """What a topic is to one entity of a device."""

    met: Met
    key: Key
    role: Role


class Use:
    """One topic in use.

    Attributes:
        parts: what it is to whom.
        roles: how often each role is among them.
        owner: the device that has it for its state or its commands, together with those that stand behind it; "" = none has.
    """

    __slots__ = ("owner", "parts", "roles")

    def __init__(self) -> None:
        self.parts: dict[tuple[Key, Role], Part] = {}
        self.roles: Counter[Role] = Counter()
        self.owner = ""


class Uses:
    """All topics in use, by name."""

    def __init__(self) -> None:
        self._uses: dict[str, Use] = {}
        self._named: dict[Key, list[tuple[str, Role]]] = {}
        self._of_one: dict[str, Counter[str]] = {}

    def get(self, topic: str) -> Use | None:
        """The use of a topic, None when nobody named it."""
        return self._uses.get(topic)

    def admit(self, topics: Iterable[str], device: str, owner: str) -> None:
        """See whether a device may name these topics; `owner` is "" when it is content to share them.

        Raises:
            RejectedError: `device`: one is another's; `size`: they are too many.
        """
        fresh = 0
        wanted = self._of_one.get(device, Counter())
        more = [topic for topic in topics if topic not in wanted]
        if len(wanted) + len(more) > MOST_TOPICS_OF_ONE:
            raise RejectedError("size", f"{device} names more than {MOST_TOPICS_OF_ONE} topics")
        for topic in topics:
            use = self._uses.get(topic)
            fresh += use is None
            if use is not None and owner and use.owner not in ("", owner):
                raise RejectedError("device", f"{shorten(topic)} is a topic of {use.owner} already")
        if fresh and len(self._uses) + fresh > MOST_TOPICS:
            raise RejectedError("size", f"more than {MOST_TOPICS} topics in all")

    def add(self, topic: str, part: Part, owner: str) -> None:
        """An entity uses a topic."""
        use = self._uses.setdefault(topic, Use())
        if (part.key, part.role) in use.parts:
            return
        use.parts[part.key, part.role] = part
        use.roles[part.role] += 1
        use.owner = use.owner or owner
        self._named.setdefault(part.key, []).append((topic, part.role))
        self._of_one.setdefault(part.met.id, Counter())[topic] += 1

    def named(self, key: Key) -> list[str]:
        """The topics that an entity uses."""
        return [topic for topic, _ in self._named.get(key, ())]

    def remove(self, key: Key) -> list[str]:
        """An entity uses nothing any more; returns the topics it used."""
        topics = []
        for topic, role in self._named.pop(key, ()):
            use = self._uses[topic]
            part = use.parts.pop((key, role))
            use.roles[role] -= 1
            if not use.roles["state"] + use.roles["command"]:
                use.owner = ""
            if not use.parts:
                del self._uses[topic]
            wanted = self._of_one[part.met.id]
            wanted[topic] -= 1
            if not wanted[topic]:
                del wanted[topic]
            if not wanted:
                del self._of_one[part.met.id]
            topics.append(topic)
        return topics
