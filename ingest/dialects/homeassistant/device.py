"""A device that configurations have told of: its entities, which of them stands for which measure, and how it is registered."""

from __future__ import annotations

from typing import Final

import msgspec

from ingest.dialect import Describable, Description
from ingest.dialects.homeassistant.availability import Presence
from ingest.dialects.homeassistant.config import About, Entity
from ingest.dialects.homeassistant.lamp import FORGOTTEN, Attrs, command_attrs, is_dimmable
from ingest.guess import kind_of
from ingest.intake import Intake
from ioc.model import Discovery

#: Which configuration, and which of its entities.
Key = tuple[str, str]

#: Administrative entities that tell of a measure all the same.
_KEPT: Final = frozenset({"batteryLevel", "rssi"})
_LAMP_MEASURES: Final = ("powerState", "illuminanceLevel")
#: Home Assistant calls an entity unavailable when its `expire_after` is over; we call a device late after two periods.
_PERIODS_TO_LATE: Final = 2


class Met:
    """One device.

    Attributes:
        id: its id with us.
        host: the dialect that hears it, when that is not this one.
        identifiers: all that its configurations call it.
        about: what its configurations say of it.
        presence: what its availability topics say.
        refusals: why an entity's command topics are none, by entity; "" when they are.
    """

    def __init__(self, device: str, dialect: str, host: Describable | None = None) -> None:
        self.id = device
        self.host = host
        self.identifiers: set[str] = set()
        self.presence = Presence()
        self.refusals: dict[Key, str] = {}
        self.entities: dict[Key, Entity] = {}
        self._dialect = dialect
        self.about = About(())
        self._measures: dict[str, Key] = {}
        self._commanded = self._paced = False
        self._description = Description()
        self.discovery = Discovery(device, dialect, device)

    def tell(self, about: About) -> None:
        """What a configuration says of the device; what it leaves out stays known."""
        told = {field: value for field, value in msgspec.structs.asdict(about).items() if value}
        self.about = msgspec.structs.replace(self.about, **told)

    def follow(self, parent: str) -> None:
        """Its entities have changed: settle who stands for which measure. `parent` is the id of what it stands behind."""
        # Who has a measure keeps it: a series must not change its meaning because another entity is announced. One that has it by
        # its class, or by the end of its name, yields to the one that is called so.
        entities = self.entities
        measures = {
            measure: key
            for measure, key in self._measures.items()
            if key in entities and measure in _measures(entities[key])
        }
        for key, entity in entities.items():
            for measure in _measures(entity):
                holder = measures.get(measure)
                if holder is None or _outranks(entity, entities[holder]):
                    measures[measure] = key
        self._measures = measures
        self.presence.follow(self.entities.values())
        if self.host is None:
            self.discovery = self._discovery(parent)
        else:
            self._description = self._describe()

    def stands_for(self, key: Key, measure: str) -> bool:
        """Whether that entity of the device is the one that reports that measure."""
        return self._measures.get(measure) == key

    def introduce(self, intake: Intake) -> None:
        """Have it registered, or described where another dialect registers it."""
        if self.host is not None:
            self.host.describe(self.id, self._description, intake)
        else:
            intake.discover(self.discovery)

    def _describe(self) -> Description:
        """What the configurations say, for the dialect that hears the device."""
        lights = [entity for entity in self.entities.values() if entity.component == "light"]
        units = {
            ".".join(entity.state.template.path): entity.unit
            for entity in self.entities.values()
            if entity.unit and entity.state is not None and entity.state.template.path
        }
        return Description(
            name=self.about.name,
            manufacturer=self.about.manufacturer,
            model=self.about.model,
            firmware=self.about.firmware,
            units=units,
            lamp=bool(lights),
            dimmable=any(is_dimmable(entity) for entity in lights),
        )

    def _discovery(self, parent: str) -> Discovery:
        about = self.about
        attrs: Attrs = {"identifier": about.identifiers[0] if about.identifiers else self.id}
        attrs |= {name: text for name, text in (("manufacturer", about.manufacturer), ("model", about.model)) if text}
        expiries = [entity.options.get("expire_after") for entity in self.entities.values()]
        seconds = [expiry for expiry in expiries if isinstance(expiry, int | float) and 0 < expiry < 1e9]
        if seconds:
            attrs["period_s"] = min(seconds) / _PERIODS_TO_LATE
            self._paced = True
        elif self._paced:
            attrs["period_s"] = None
        commanded = self._measures.get("powerState")
        entity = None if commanded is None else self.entities.get(commanded)
        if commanded is not None and entity is not None and entity.component in ("light", "switch"):
            attrs |= command_attrs(entity, self.refusals.get(commanded, ""))
            self._commanded = True
        elif self._commanded:
            attrs |= FORGOTTEN
        lit = any(entity.component == "light" for entity in self.entities.values())
        return Discovery(
            device=self.id,
            dialect=self._dialect,
            name=about.name or self.id,
            kind="streetlight" if lit else kind_of(self._measures),
            parent=parent,
            firmware=about.firmware,
            attrs=attrs,
        )


def is_left_out(entity: Entity) -> bool:
    """Whether an entity is administrative and tells of nothing we keep."""
    return entity.administrative and entity.measure not in _KEPT


def _outranks(entity: Entity, holder: Entity) -> bool:
    """Whether an entity takes a measure from another one of its device."""
    if entity.component == "light":
        return holder.component == "switch"
    return entity.is_named and not holder.is_named and holder.component == "sensor"


def _measures(entity: Entity) -> tuple[str, ...]:
    if is_left_out(entity):
        return ()
    match entity.component:
        case "light":
            return _LAMP_MEASURES
        case "switch":
            return _LAMP_MEASURES[:1]
        case "sensor" if entity.measure:
            return (entity.measure,)
    return ()
