"""A connection and the devices behind it: a cabinet with its lamps, a station by itself, a ward's bins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated

import msgspec

from ingest.simulator import messages
from ingest.simulator.city import City, Site
from ingest.simulator.footage import Clip
from ingest.simulator.link import Link, Will
from ingest.simulator.world import Values
from ioc import topics
from ioc.catalog import KINDS
from ioc.mqtt import Contact
from ioc.service import LogOnce

#: What a gateway introduces before it lets the loop breathe.
CHUNK = 20
PAUSE_S = 0.05
#: Why a camera without footage is offline.
NO_SIGNAL = "no_signal"


#: What a lamp measures once it was told a level at a time.
Obey = Callable[[Site, float, float], Values]


class _Numbered(msgspec.Struct):
    id: int


class _Command(msgspec.Struct):
    id: int
    light: Annotated[float, msgspec.Meta(ge=0, le=1)]


class Gateway:
    """One link, the device that owns it (None for a plain radio gateway) and all devices that speak through it.

    ``obey`` is called when a lamp is told a level, and returns what it measures then.
    """

    def __init__(
        self,
        contact: Contact,
        name: str,
        sites: Sequence[Site],
        *,
        owner: Site | None,
        boot: str,
        lost: LogOnce,
        obey: Obey,
        offline: str = "",
        clip: Clip | None = None,
    ) -> None:
        self.owner = owner
        self.sites = tuple(sites)
        self.clip = clip
        self.is_cut = False
        self._known = False
        self._offline = offline
        self._boot = boot
        self._seq = dict.fromkeys((site.id for site in sites), 0)
        self._introducing: asyncio.Task[None] | None = None
        self._obey = obey
        self._lamps = {topics.build(site.id, "command"): site for site in sites if KINDS[site.kind].lit}
        will = Will(topics.build(owner.id, "state"), messages.state("offline", "lwt")) if owner else None
        self.link = Link(
            contact,
            f"sim-{name}",
            on_up=self._up,
            lost=lost,
            will=will,
            on_message=self._told,
            subscriptions=tuple(self._lamps),
        )

    def _up(self) -> None:
        self._known = True
        if self._introducing is not None:
            self._introducing.cancel()
        self._introducing = asyncio.get_running_loop().create_task(self._introduce())

    async def _introduce(self) -> None:
        """Announce every device and say its state; again after every reconnection, for the broker may have forgotten."""
        for number, site in enumerate(self.sites, 1):
            self.link.publish(topics.build(site.id, "announce"), messages.announce(site, self.clip), retain=True)
            if number % CHUNK == 0:
                await asyncio.sleep(PAUSE_S)
        # Lamps first, their cabinet last: once it is back, nothing below it is still missing.
        word = "offline" if self._offline else "online"
        for number, site in enumerate(reversed(self.sites), 1):
            self._say(site, word, self._offline)
            if number % CHUNK == 0:
                await asyncio.sleep(PAUSE_S)

    def _say(self, site: Site, word: str, reason: str = "") -> None:
        self.link.publish(topics.build(site.id, "state"), messages.state(word, reason, int(time.time() * 1000)))

    def _told(self, topic: str, payload: bytes) -> None:
        """A lamp is told to shine: it answers, does it, and reports at once; a broken one answers and stays dark."""
        site, result = self._lamps[topic], f"{topic}/result"
        try:
            command = msgspec.json.decode(payload, type=_Command)
        except msgspec.MsgspecError as error:
            with suppress(msgspec.MsgspecError):
                self.link.publish(result, messages.result(msgspec.json.decode(payload, type=_Numbered).id, str(error)))
            return
        now = time.time()
        self.link.publish(result, messages.result(command.id))
        self.report(site, int(now * 1000), self._obey(site, command.light, now))

    def report(self, site: Site, ts_ms: int, values: Values) -> None:
        """Send one set of readings; nothing while the power is cut, nor before the device has once introduced itself."""
        if values and self._known and not self.is_cut:
            self._seq[site.id] += 1
            payload = messages.telemetry(ts_ms, values, self._boot, self._seq[site.id])
            self.link.publish(topics.build(site.id, "telemetry"), payload)

    def report_past(self, site: Site, readings: list[tuple[int, Values]]) -> None:
        """Send buffered readings."""
        if not self.is_cut:
            self.link.publish(topics.build(site.id, "telemetry"), messages.past(readings))

    def show(self, site: Site, ts_ms: int, jpeg: bytes) -> None:
        """Send one picture, at QoS 0: a late picture is worth nothing."""
        if not self.is_cut:
            self.link.publish(topics.build(site.id, "frame", ts_ms), jpeg, qos=0)

    def darken(self) -> None:
        """There is nothing more to show: say that there is no signal, now and after every reconnection."""
        self._offline = NO_SIGNAL
        for site in self.sites:
            self._say(site, "offline", NO_SIGNAL)

    def cut(self) -> None:
        """The power fails: the connection vanishes, the broker tells the last will."""
        self.is_cut = True
        self.link.cut()

    def mend(self) -> None:
        """The power is back."""
        self.is_cut = False
        self.link.mend()

    async def close(self) -> None:
        """Take the devices out of service, then leave in order: a stop that is meant is no failure of 300 devices.

        Lamps go with their cabinet and are not named singly.
        """
        if self._introducing is not None:
            self._introducing.cancel()
        if self.link.is_up and not self._offline:
            for site in self.sites:
                if not site.parent:
                    self._say(site, "maintenance", "stopped")
        await self.link.close()


class Connector:
    """Makes the gateways of a city on one broker; ``boot`` names this run in every reading."""

    def __init__(self, contact: Contact, boot: str, lost: LogOnce, obey: Obey) -> None:
        self._gateway = partial(Gateway, contact, boot=boot, lost=lost, obey=obey)

    def city(self, city: City) -> tuple[Gateway, ...]:
        """One gateway per cabinet and per sensor, and one per ward for its bins."""
        behind: dict[str, list[Site]] = {cabinet.id: [cabinet] for cabinet in city.cabinets}
        for lamp in city.lamps:
            behind[lamp.parent].append(lamp)
        wards: dict[str, list[Site]] = {}
        for bin_ in city.bins:
            wards.setdefault(bin_.ward, []).append(bin_)
        return (
            *(self._gateway(cabinet.id, behind[cabinet.id], owner=cabinet) for cabinet in city.cabinets),
            *(self._gateway(sensor.id, (sensor,), owner=sensor) for sensor in city.sensors),
            *(self._gateway(f"bins-{ward}", sites, owner=None) for ward, sites in wards.items()),
        )

    def cameras(self, city: City, clips: dict[str, Clip]) -> tuple[Gateway, ...]:
        """One gateway per camera with footage, and one that says of all the others that they have no signal."""
        showing = [camera for camera in city.cameras if camera.id in clips]
        dark = [camera for camera in city.cameras if camera.id not in clips]
        return (
            *(self._gateway(camera.id, (camera,), owner=camera, clip=clips[camera.id]) for camera in showing),
            self._gateway("cameras", dark, owner=None, offline=NO_SIGNAL),
        )
