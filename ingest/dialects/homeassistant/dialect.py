"""Home Assistant's MQTT discovery: configurations name topics, which are then listened to and decoded as they say.

Several entities mostly share one topic: a message is decoded once for all of them, and their values belong together. No message
states a time. A configuration may come from anybody: it gets topics that nobody else has, and no more of them than a device
needs. Zigbee2MQTT and Tasmota announce their devices this way too; what those say is decoded by their own dialects, and the
configuration merely describes the device.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Final

from ingest.dialect import Dialect, Route, Subscription
from ingest.dialects.homeassistant.configurations import Configurations, Place
from ingest.dialects.homeassistant.lamp import command_of
from ingest.dialects.homeassistant.template import Said
from ingest.dialects.homeassistant.uses import Part
from ingest.dialects.homeassistant.values import told
from ingest.flags import tell_flag
from ingest.intake import Intake, refuse_of_then
from ingest.message import Outgoing
from ingest.stamps import Item
from ioc.errors import RejectedError
from ioc.model import Device
from ioc.topics import covers
from ioc.values import MEASURES_OF, shorten

NAME: Final = "homeassistant"
PREFIX: Final = "ha"
ROOT: Final = "homeassistant"
_CONFIG: Final = re.compile(rf"{ROOT}/(\w+)/(?:([a-zA-Z0-9_-]+)/)?([a-zA-Z0-9_-]+)/config", re.ASCII)
_DOORS: Final = frozenset({"door", "opening", "garage_door"})


class HomeAssistant:
    """Decodes discovery configurations, and what is said on the topics they name.

    Args:
        others: the other dialects, whose topics are theirs.
    """

    name = NAME
    prefix = PREFIX
    subscriptions: Sequence[Subscription] = (
        Subscription(f"{ROOT}/+/+/config", "first", retained=True),
        Subscription(f"{ROOT}/+/+/+/config", "first", retained=True),
    )

    def __init__(self, others: Sequence[Dialect] = ()) -> None:
        self._others = tuple(others)
        self._configurations = Configurations(NAME, PREFIX, self._foreign)

    def route(self, topic: str) -> Route | None:
        """Where a message of that topic goes."""
        if match := _CONFIG.fullmatch(topic):
            return Route("", NAME, partial(self._configure, Place(topic, *match.groups(""))), of_now=True)
        if topic in self._configurations.listening:
            use = self._configurations.uses.get(topic)
            devices = set() if use is None else {part.met.id for part in use.parts.values()}
            # What a topic is, and whose, changes with configurations.
            return Route(devices.pop() if len(devices) == 1 else "", NAME, partial(self._hear, topic), lasting=False)
        if self._configurations.uses.get(topic) is not None:
            # A lamp's commands, ours among them, which come because a mapping's filter is wide: no readings.
            return Route("", NAME, _pass_over, lasting=False)
        if topic.startswith(f"{ROOT}/") and topic.endswith("/config"):
            raise RejectedError(
                "topic", f"topic {shorten(topic)}: expected {ROOT}/<component>/[<node>/]<object>/config"
            )
        return None

    def light(self, device: Device, level: float, order: int) -> Sequence[Outgoing]:
        """What the configuration of its light, or else its switch, says that it is to be told."""
        del order
        return command_of(device, level)

    def _configure(self, place: Place, device: str, payload: bytes, intake: Intake) -> None:
        del device
        self._configurations.take(place, payload, intake)

    def _foreign(self, topic: str) -> tuple[object, str] | None:
        """The dialect that a topic belongs to, and the device it speaks of there; None when it is free."""
        for dialect in (*self._others, self):
            try:
                route = None if dialect is self else dialect.route(topic)
            except RejectedError:
                return dialect, ""
            if route is not None:
                return dialect, route.device
            if any(covers(one.filter, topic) for one in dialect.subscriptions):
                return dialect, ""
        return None

    def _hear(self, topic: str, device: str, payload: bytes, intake: Intake) -> None:
        """Decode a message for every entity that has this topic.

        Raises:
            RejectedError: no entity finds anything in it.
        """
        del device
        use = self._configurations.uses.get(topic)
        if use is None:
            raise RejectedError("topic", f"topic {shorten(topic)}: no configuration names it any more")
        if not payload:
            return
        said = Said(payload)
        items: dict[str, list[Item]] = {}
        mets = {part.met.id: part.met for part in use.parts.values()}
        present: set[str] = set()
        unclear: list[RejectedError] = []
        understood = False
        for part in use.parts.values():
            met = part.met
            try:
                if part.role == "state":
                    found = self._tell(part, topic, said, items, intake)
                elif part.role == "availability" and met.id not in present and not intake.replayed:
                    present.add(met.id)
                    state = met.presence.hear(topic, said)
                    met.introduce(intake)
                    if state is not None:
                        intake.state(met.id, None, state, "availability")
                    found = True
                else:
                    continue
            except RejectedError as error:
                if error.reason == "value":
                    unclear.append(error)  # what is not meant for this entity may be for another
                else:
                    intake.fault(error)
                    understood = True
            else:
                understood = understood or found
        for key, values in items.items():
            mets[key].introduce(intake)
            intake.measured(key, None, values)
        if not understood:
            if intake.replayed and not unclear and any(part.role == "availability" for part in use.parts.values()):
                refuse_of_then()
            raise unclear[0] if unclear else RejectedError("shape", "no entity on this topic finds a value in it")

    def _tell(self, part: Part, topic: str, said: Said, items: dict[str, list[Item]], intake: Intake) -> bool:
        """What a message tells one entity; False when nothing.

        Raises:
            RejectedError: `value`, or `shape` when its template is not evaluated.
        """
        met = part.met
        entity = met.entities[part.key]
        heard = told(entity, topic, said)
        if heard.silent:
            return False
        mine = items.setdefault(met.id, [])
        for item in heard.items:
            measure = entity.measure if entity.component == "sensor" else item[0]
            if measure == "rssi" and measure not in MEASURES_OF[intake.kinds.get(met.id, "")]:
                continue  # how well it is heard is administrative where its kind does not report it
            if not measure or met.stands_for(part.key, measure):
                mine.append(item)
            else:
                why = f"{shorten(entity.label)}: another entity of {met.id} reports {measure} already"
                intake.fault(RejectedError("measure", why))
        if heard.on is not None and entity.component == "binary_sensor":
            if entity.device_class in _DOORS and intake.kinds.get(met.id) == "cabinet":
                mine.append(("cabinetDoor", "open" if heard.on else "closed", ""))
            else:
                met.introduce(intake)
                data = {"name": entity.label, "class": entity.device_class}
                flag = "/".join(filter(None, (part.key[0][len(ROOT) + 1 : -len("/config")], part.key[1])))
                tell_flag(intake, met.id, None, flag, what=entity.device_class, on=heard.on, data=data)
        return True


def _pass_over(device: str, payload: bytes, intake: Intake) -> None:
    del device, payload, intake
