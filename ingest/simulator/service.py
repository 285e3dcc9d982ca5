"""The running simulator: every device reports on its own beat through its own connection."""

from __future__ import annotations

import asyncio
import heapq
import signal
import time
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from ingest.simulator import footage
from ingest.simulator.city import City, Site
from ingest.simulator.effects import CONTROL_TOPIC, STATUS_TOPIC, Control, Effects, Status, lost
from ingest.simulator.gateway import Connector, Gateway
from ingest.simulator.guests import REPORT_S as GUESTS_REPORT_S
from ingest.simulator.guests import Guest, Said, all_guests
from ingest.simulator.link import Link, Will
from ingest.simulator.noise import unit
from ingest.simulator.orders import Orders
from ingest.simulator.world import REPORT_S, Values, sample
from ioc.mqtt import Contact
from ioc.service import Log, LogOnce

#: Connections are opened this far apart, so that a start is no storm on the broker.
STAGGER_S = 0.03
#: Reports due within this time are sent together: fewer wake-ups.
TICK_S = 0.05
HISTORY_STEP_S = 300.0
#: Lamps are many: their past is told in coarser steps.
HISTORY_LAMP_STEP_S = 1800.0
HISTORY_MESSAGES_S = 25.0
HISTORY_CHUNK = 200


class Clock(msgspec.Struct, frozen=True):
    """The city's time: it starts with the real one and runs ``speed`` times as fast.

    Stamps are always real time; only what the city does follows this clock.
    """

    start: float
    speed: float

    def city(self, now: float) -> float:
        """The city's time at real epoch second ``now``."""
        return self.start + (now - self.start) * self.speed


class Simulation:
    """One city on one broker, from start to stop."""

    def __init__(self, city: City, contact: Contact, *, speed: float = 1.0, history_h: float = 0.0) -> None:
        self._city = city
        self._contact = contact
        self._clock = Clock(time.time(), speed)
        self._history_h = history_h
        self._log: Log = structlog.get_logger().bind(service="simulator")
        self._lost = LogOnce(self._log, "broker")
        self._stop = asyncio.Event()
        self._effects: Effects = ()
        self._gateways: tuple[Gateway, ...] = ()
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: BaseException | None = None
        self._guests: list[Link] = []
        self._status = Status(city.seed, city.wish, len(city.sites), ())
        self._control = self._control_link()
        self._orders = Orders()
        self._connector = Connector(contact, format(int(self._clock.start * 1000), "x"), self._lost, self._obey)
        self.sent = 0

    async def run(self, media: Path, data: Path) -> None:
        """Run until SIGTERM or SIGINT; ``media`` and ``data`` are the folders that may hold footage."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        self._gateways = self._connector.city(self._city)
        self._log.info("started", devices=self._status.devices, connections=len(self._gateways) + 1)
        self._begin(self._open([self._control, *(gateway.link for gateway in self._gateways)]))
        self._begin(self._show_cameras(media, data))
        for guest in all_guests():
            self._begin(self._host(guest))
        if self._history_h > 0:
            self._begin(self._tell_past())
        await self._report()
        await self._close()
        if self._failure is not None:
            raise self._failure

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Half a city must not go on as if it were whole: a part that fails ends the run with its error."""
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()
            self._stop.set()

    def _control_link(self) -> Link:
        """The simulator's own connection: it says that it runs, and listens for stories."""
        return Link(
            self._contact,
            "sim-control",
            on_up=self._say_status,
            lost=self._lost,
            will=Will(STATUS_TOPIC, b"", retain=True),
            on_message=self._told,
            subscriptions=(CONTROL_TOPIC,),
        )

    def _say_status(self) -> None:
        self._control.publish(STATUS_TOPIC, msgspec.json.encode(self._status), retain=True)

    async def _show_cameras(self, media: Path, data: Path) -> None:
        """Bring the cameras on: the first start cuts videos into pictures, and the rest of the city does not wait."""
        clips = await asyncio.to_thread(footage.find, media, data, media / "frames", self._stop.is_set)
        if self._stop.is_set():
            return
        cameras = self._connector.cameras(self._city, clips)
        self._gateways += cameras
        self._status = msgspec.structs.replace(self._status, showing=tuple(clips))
        if self._control.is_up:
            self._say_status()
        self._log.info("cameras", showing=len(clips), without_signal=len(self._city.cameras) - len(clips))
        for gateway in cameras:
            if gateway.clip is not None:
                self._begin(self._play(gateway))
        self._begin(self._open([gateway.link for gateway in cameras]))

    def _told(self, topic: str, payload: bytes) -> None:
        try:
            effects = msgspec.json.decode(payload, type=Control).effects
        except msgspec.MsgspecError as error:
            self._log.warning("ignored", topic=topic, why=str(error))
            return
        clock = self._clock
        self._effects = tuple(
            msgspec.structs.replace(effect, start=clock.city(effect.start), end=clock.city(effect.end))
            for effect in effects
        )
        self._log.info("story", effects=len(effects))

    async def _open(self, links: list[Link]) -> None:
        async with asyncio.TaskGroup() as group:
            for link in links:
                group.create_task(link.run())
                await asyncio.sleep(STAGGER_S)

    async def _report(self) -> None:
        """Let every device report when it is due, until the stop."""
        beats = [
            (site, gateway, REPORT_S[site.kind])
            for gateway in self._gateways
            for site in gateway.sites
            if site.kind in REPORT_S
        ]
        now = time.time()
        due = []
        for index, (site, _, period) in enumerate(beats):
            # On a beat of its own that a restart keeps: the same moment gives the same reading.
            phase = unit(self._city.seed, "phase", site.id) * period
            due.append((now + (phase - now) % period, index))
        heapq.heapify(due)
        while not self._stop.is_set():
            now = time.time()
            self._follow_story(now)
            while due and due[0][0] <= now:
                when, index = due[0]
                site, gateway, period = beats[index]
                # After a pause of the machine the missed beats stay missed, as they would for a device.
                heapq.heapreplace(due, (when + period * max(1, -(-(now - when) // period)), index))
                gateway.report(site, int(when * 1000), self._values(site, when))
                self.sent += 1
            wait = max(TICK_S, due[0][0] - time.time()) if due else 1.0
            try:
                await asyncio.wait_for(self._stop.wait(), min(wait, 0.5))
            except TimeoutError:
                continue

    def _values(self, site: Site, when: float) -> Values:
        t = self._clock.city(when)
        return sample(self._city.seed, site, t, self._effects, self._orders.told(site, t))

    def _obey(self, lamp: Site, level: float, now: float) -> Values:
        self._orders.tell(lamp, level, self._clock.city(now))
        return self._values(lamp, now)

    def _follow_story(self, now: float) -> None:
        """Cut and mend the connections of what the story takes away and gives back."""
        gone = lost(self._effects, self._clock.city(now)) if self._effects else frozenset()
        for gateway in self._gateways:
            if gateway.owner is None or gateway.is_cut == (gateway.owner.id in gone):
                continue
            if gateway.is_cut:
                gateway.mend()
            else:
                gateway.cut()

    async def _play(self, gateway: Gateway) -> None:
        """Show a clip in a loop; each picture carries the time it is sent."""
        clip, camera = gateway.clip, gateway.owner
        if clip is None or camera is None:
            return
        period = 1 / clip.per_second
        offset = unit(self._city.seed, "frame", camera.id) * period
        number = 0
        while not self._stop.is_set():
            now = time.time()
            await asyncio.sleep(period - (now - offset) % period)
            try:
                picture = clip.frames[number % len(clip.frames)].read_bytes()
            except OSError as error:
                self._log.error("footage gone", camera=camera.id, why=str(error))
                gateway.darken()
                return
            if gateway.link.is_up:
                gateway.show(camera, int(time.time() * 1000), picture)
            number += 1

    async def _host(self, guest: Guest) -> None:
        """Let a device of another maker come up, report and answer, over a connection of its own."""

        def say(messages: Iterable[Said]) -> None:
            for message in messages:
                link.publish(message.topic, message.payload, retain=message.retain)

        link = Link(
            self._contact,
            f"sim-guest-{guest.key}",
            on_up=lambda: say(guest.hello(time.time())),
            lost=self._lost,
            will=guest.will,
            on_message=lambda topic, payload: say(guest.told(topic, payload, time.time())),
            subscriptions=guest.subscriptions,
        )
        self._guests.append(link)
        self._begin(link.run())
        while not self._stop.is_set():
            await link.up.wait()
            say(guest.report(time.time()))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), GUESTS_REPORT_S)

    async def _tell_past(self) -> None:
        """Tell the last hours, as devices that had buffered them; slowly, beside the live readings."""
        now = self._clock.start
        for gateway in sorted(self._gateways, key=lambda one: len(one.sites)):
            for site in gateway.sites:
                step = HISTORY_LAMP_STEP_S if site.kind == "streetlight" else HISTORY_STEP_S
                last = int(now // step)
                times = [(last - back) * step for back in range(int(self._history_h * 3600 / step), -1, -1)]
                readings = [(int(t * 1000), values) for t in times if (values := sample(self._city.seed, site, t))]
                for first in range(0, len(readings), HISTORY_CHUNK):
                    if self._stop.is_set():
                        return
                    await gateway.link.up.wait()
                    gateway.report_past(site, readings[first : first + HISTORY_CHUNK])
                    await asyncio.sleep(1 / HISTORY_MESSAGES_S)
        self._log.info("history told", hours=self._history_h)

    async def _close(self) -> None:
        """Leave in order, within two seconds."""
        self._control.publish(STATUS_TOPIC, b"", retain=True)
        links = (self._control, *self._guests)
        await asyncio.gather(*(link.close() for link in links), *(gateway.close() for gateway in self._gateways))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._log.info("stopped", sent=self.sent, dropped=sum(gateway.link.dropped for gateway in self._gateways))
