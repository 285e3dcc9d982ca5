"""The dialect that technicians write as data: topics of the enabled mappings, payloads read with them (`ioc.mapping`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

import structlog

from ingest.dialect import Handler, Route, Subscription
from ingest.intake import Intake
from ingest.message import Outgoing
from ingest.payload import leniently
from ingest.stamps import Item as Named
from ioc.catalog import measure_named
from ioc.errors import CommandError, RejectedError
from ioc.json_path import PathError
from ioc.mapped import PREFIX, Entry, Reader, value_of
from ioc.mapping import IGNORE, TopicMapping, clash, supplements
from ioc.model import Device, Discovery
from ioc.topics import matches
from ioc.values import shorten

NAME: Final = "mapped"
#: Devices of which it was told that they are there.
_MOST_MET: Final = 500_000


class Mapped:
    """Decodes what mappings speak for, after every other dialect was asked whether the topic is its own.

    Args:
        standing: topic filters of those others, with the dialect of each.

    Attributes:
        wanted: topic filters to listen to.
    """

    name = NAME
    prefix = PREFIX
    subscriptions: Sequence[Subscription] = ()

    def __init__(self, standing: Mapping[str, str] | None = None) -> None:
        self._standing = dict(standing or {})
        self._own: list[Reader] = []
        self._supplements: list[Reader] = []
        self._met: set[str] = set()
        self.wanted: frozenset[str] = frozenset()

    def use(self, mappings: Iterable[TopicMapping]) -> None:
        """Work with these from now on; one that cannot be used is left out and logged, for the others are needed."""
        self._own, self._supplements, wanted = [], [], set()
        self._met.clear()
        for mapping in mappings:
            if not mapping.enabled:
                continue
            try:
                reader = Reader(mapping)
            except PathError as error:
                structlog.get_logger().error("mapping left out", mapping=mapping.name, why=str(error))
                continue
            if supplements(mapping.filter, self._standing):
                self._supplements.append(reader)
                continue
            self._own.append(reader)
            fault = clash(mapping.filter, self._standing)
            if fault is not None:
                # A dialect has come since that takes some of its topics; its messages arrive for that dialect as it is.
                structlog.get_logger().error("mapping overlaps a dialect", mapping=mapping.name, why=str(fault))
            else:
                wanted.add(mapping.filter)
        self.wanted = frozenset(wanted)

    def route(self, topic: str) -> Route | None:
        """Where a message of that topic goes."""
        reader = _speaking(self._own, topic)
        return None if reader is None else Route(reader.device_of(topic), NAME, partial(self._decode, reader, topic))

    def light(self, device: Device, level: float, order: int) -> Sequence[Outgoing]:
        """Mappings read alone."""
        del level, order
        raise CommandError(f"{device.id}: a mapping says how to read a device, not how to command it")

    def ahead(self, topic: str, route: Route) -> Route:
        """A built-in dialect's route, with the values read first that a mapping names: a technician knows the device."""
        # What does not last is a frame, or what a configuration of Home Assistant reads by a template and states the unit of.
        if route.dialect == NAME or not route.lasting:
            return route
        reader = self._beside(topic)
        return route if reader is None else route._replace(handle=partial(_decode_ahead, reader, route.handle))

    def supplement(self, topic: str, intake: Intake) -> None:
        """Take the values of a built-in dialect's message that have no measure, where a mapping knows better.

        Also a mapping that was on its own before a dialect learnt of its topics (from a device's configuration) helps out so.
        """
        reader = self._beside(topic)
        if reader is None:
            return
        for unknown in intake.take_unknown():
            item = reader.item_named(unknown.name)
            if item is None:
                intake.fault(unknown.error)
            elif item.measure != IGNORE:
                try:
                    value = value_of(item, unknown.raw)
                    intake.measured(unknown.device, unknown.stamp, [(item.measure, value, "")])
                except RejectedError as error:
                    intake.fault(error)

    def _beside(self, topic: str) -> Reader | None:
        """The mapping that speaks beside a built-in dialect."""
        return _speaking(self._supplements, topic) or _speaking(self._own, topic)

    def _decode(self, reader: Reader, topic: str, device: str, payload: bytes, intake: Intake) -> None:
        del device
        mapping = reader.mapping
        if not mapping.items:
            raise RejectedError("mapping", f"mapping {mapping.name!r} listens here and names no values yet")
        found = reader.read(topic, leniently(payload))
        for fault in found.faults:
            intake.fault(fault)
        for entry in found.entries:
            self._discover(entry, mapping, intake)
            try:
                values = [(item.measure, value, "") for item, value in entry.values]
                intake.measured(entry.device, entry.stamp, values)
            except RejectedError as error:
                intake.fault(error)
        # Measures that the kind of its device does not report: here nobody knows better.
        for unknown in intake.take_unknown():
            intake.fault(unknown.error)

    def _discover(self, entry: Entry, mapping: TopicMapping, intake: Intake) -> None:
        # Once a device: two mappings that feed one would else take turns in telling something new of it.
        if entry.device in self._met:
            return
        if len(self._met) >= _MOST_MET:
            self._met.clear()
        self._met.add(entry.device)
        intake.discover(Discovery(entry.device, NAME, entry.name, mapping.kind, attrs={"mapping": mapping.name}))


class _Ahead:
    """An intake to whose values a mapping is asked first.

    Values that the catalogue does not know wait for `Mapped.supplement`, and so does all that `$` ignores: it means the rest.
    """

    def __init__(self, reader: Reader, intake: Intake) -> None:
        self._reader = reader
        self._intake = intake

    def __getattr__(self, name: str) -> Any:
        return getattr(self._intake, name)

    def telemetry(self, device: str, stamp: Any, values: Mapping[str, Any]) -> None:
        """As `Intake.telemetry`."""
        found: dict[str, Any] = {}
        for key, value, _ in self._read((key, raw, "") for key, raw in values.items()):
            if found.setdefault(key, value) != value:
                why = f"a second value of {shorten(key)}, {shorten(value)} beside {shorten(found[key])}"
                self._intake.fault(RejectedError("value", why))
        self._intake.telemetry(device, stamp, found)

    def measured(self, device: str, stamp: Any, items: Iterable[Named], *, spoke: bool = True) -> None:
        """As `Intake.measured`."""
        self._intake.measured(device, stamp, self._read(items), spoke=spoke)

    def _read(self, items: Iterable[Named]) -> Iterator[Named]:
        for name, raw, unit in items:
            known = measure_named(name)
            item = None if known is None else self._reader.item_named(name) or self._reader.item_named(known[0].key)
            if item is None or item.path == "$":
                yield name, raw, unit
            elif item.measure != IGNORE:
                try:
                    yield item.measure, value_of(item, raw), ""
                except RejectedError as error:
                    self._intake.fault(error)


def _decode_ahead(reader: Reader, handle: Handler, device: str, payload: bytes, intake: Intake) -> None:
    handle(device, payload, cast("Intake", _Ahead(reader, intake)))


def _speaking(readers: Iterable[Reader], topic: str) -> Reader | None:
    return next((reader for reader in readers if matches(reader.mapping.filter, topic)), None)
