"""A story told on the running city: a storm at high tide over the low ward of An Khánh, and the recovery.

The whole story is one message on the control topic: effects with their beginnings and ends. What is printed while it
happens is read back from the devices' own messages.
"""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from typing import Literal

import msgspec
import structlog
from rich.console import Console

from ingest.simulator import city as layout
from ingest.simulator.city import City, Site
from ingest.simulator.effects import CONTROL_TOPIC, STATUS_TOPIC, Control, Effect, Effects, Status, distance
from ingest.simulator.link import Link
from ingest.simulator.world import Values, sample
from ioc import topics
from ioc.catalog import Label, measure
from ioc.errors import BrokerError, TopicError
from ioc.mqtt import Contact
from ioc.service import LogOnce

#: Where the storm is worst: Thảo Điền, in the ward of An Khánh.
LAT, LON = 10.8045, 106.7345
HELLO_S = 6.0
#: How long a sentence waits for the reading that proves it.
QUOTE_S = 16.0
#: Water stands this high at the worst gauge: above the third alert level.
FLOOD_M = 1.72
SURGE_M = 1.55


class Beat(msgspec.Struct, frozen=True):
    """One sentence of the story: when (share of its length), what is said, and whose readings prove it."""

    at: float
    text: Label
    devices: tuple[str, ...] = ()


class Cast(msgspec.Struct, frozen=True):
    """The devices the story happens to."""

    gauge: Site
    tide: Site
    rain: Site
    detector: Site
    cabinet: Site
    camera: Site | None


def choose(city: City, showing: tuple[str, ...]) -> Cast:
    """The devices nearest to the worst of the storm; a camera only if one shows pictures that can be lost."""

    def nearest(sites: tuple[Site, ...]) -> Site:
        return min(sites, key=lambda site: distance(LAT, LON, site.lat, site.lon))

    def kind(key: str) -> tuple[Site, ...]:
        return tuple(site for site in city.sensors if site.kind == key)

    cameras = tuple(camera for camera in city.cameras if camera.id in showing)
    return Cast(
        gauge=nearest(kind("flood_gauge")),
        tide=nearest(kind("tide_gauge")),
        rain=nearest(kind("rain_gauge")),
        detector=nearest(kind("traffic_detector")),
        cabinet=nearest(city.cabinets),
        camera=nearest(cameras) if cameras else None,
    )


def plan(seed: int, cast: Cast, start: float, length: float) -> Effects:
    """The effects of a story of ``length`` seconds that begins at ``start``."""

    def lowest(site: Site) -> float:
        return min(float(sample(seed, site, start + length * part)["waterLevel"]) for part in (0.3, 0.5, 0.7))

    def spell(kind: str, begin: float, end: float, **more: float | str) -> Effect:
        return msgspec.convert(
            {
                "kind": kind,
                "start": start + length * begin,
                "end": start + length * end,
                "lat": LAT,
                "lon": LON,
                **more,
            },
            Effect,
        )

    surge = max(0.25, min(0.9, SURGE_M - lowest(cast.tide)))
    pond = max(0.3, FLOOD_M - lowest(cast.gauge) - surge)
    effects = [
        spell("surge", 0.0, 0.90, amount=surge, radius_m=2600, rise_s=0.2 * length, fall_s=0.2 * length),
        spell("rain", 0.06, 0.62, amount=105, radius_m=3500, rise_s=0.08 * length, fall_s=0.15 * length),
        spell("pond", 0.14, 0.88, amount=pond, radius_m=1100, rise_s=0.16 * length, fall_s=0.2 * length),
        spell("jam", 0.18, 0.94, amount=1.0, radius_m=1500, rise_s=0.06 * length, fall_s=0.08 * length),
        spell("cabinet_lost", 0.38, 0.78, target=cast.cabinet.id),
    ]
    if cast.camera is not None:
        effects.append(spell("camera_lost", 0.48, 0.82, target=cast.camera.id))
    return tuple(effects)


def narrate(cast: Cast) -> tuple[Beat, ...]:
    """What is told, in order."""
    lamps = cast.cabinet.number
    beats = [
        Beat(
            0.0,
            Label("Triều cường đang lên trên sông Sài Gòn.", "The tide rises on the Sài Gòn river."),
            (cast.tide.id,),
        ),
        Beat(
            0.10,
            Label("Mưa rất to trút xuống Thảo Điền và ven sông.", "Torrential rain over Thảo Điền and the river bank."),
            (cast.rain.id,),
        ),
        Beat(
            0.24,
            Label(
                "Nước không thoát kịp, đường trũng bắt đầu ngập.", "Drains cannot follow; low streets begin to flood."
            ),
            (cast.gauge.id,),
        ),
        Beat(
            0.32,
            Label("Xe chết máy, ùn tắc lan ra trục chính.", "Stalled motorbikes; the jam spreads to the main road."),
            (cast.detector.id,),
        ),
        Beat(
            0.40,
            Label(
                f"Mất điện {cast.cabinet.name}: {lamps} đèn tối.",
                f"{cast.cabinet.name} loses power: {lamps} lamps dark.",
            ),
        ),
        Beat(
            0.60,
            Label("Mưa ngớt. Nước vẫn ở đỉnh.", "The rain eases. The water is at its highest."),
            (cast.rain.id, cast.gauge.id),
        ),
        Beat(0.79, Label(f"Đã đóng lại {cast.cabinet.name}.", f"{cast.cabinet.name} is switched back on.")),
        Beat(0.88, Label("Nước rút.", "The water recedes."), (cast.gauge.id, cast.tide.id)),
        Beat(0.95, Label("Đường thông trở lại.", "Traffic flows again."), (cast.detector.id,)),
        Beat(1.0, Label("Hết chuyện: thành phố trở lại bình thường.", "The end: the city is itself again.")),
    ]
    if cast.camera is not None:
        name = cast.camera.name
        beats += [
            Beat(0.50, Label(f"Mất tín hiệu camera {name}.", f"Camera {name} is lost.")),
            Beat(0.84, Label(f"Camera {name} có hình lại.", f"Camera {name} shows pictures again.")),
        ]
    return tuple(sorted(beats, key=lambda beat: beat.at))


class _Telemetry(msgspec.Struct):
    values: Values


class _Teller:
    """The story's own connection, and what it has heard."""

    def __init__(self, contact: Contact) -> None:
        self.status: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
        self.readings: dict[str, Values] = {}
        self._news = asyncio.Event()
        self.link = Link(
            contact,
            f"storm-{time.time_ns():x}",
            on_up=lambda: None,
            lost=LogOnce(structlog.get_logger(), "broker"),
            on_message=self._heard,
            subscriptions=(STATUS_TOPIC, *(f"{topics.ROOT}/+/telemetry",)),
        )

    def _heard(self, topic: str, payload: bytes) -> None:
        if topic == STATUS_TOPIC:
            if payload and not self.status.done():
                self.status.set_result(msgspec.json.decode(payload, type=Status))
            return
        try:
            self.readings[topics.parse(topic).device] = msgspec.json.decode(payload, type=_Telemetry).values
            self._news.set()
        except (msgspec.MsgspecError, TopicError):
            return  # buffered readings, or a device that is none of ours: the story does not quote them

    async def hear(self, device: str, seconds: float) -> None:
        """Wait for a first reading of ``device``, but no longer than ``seconds``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while device not in self.readings:
                    self._news.clear()
                    await self._news.wait()

    def say(self, effects: Effects) -> None:
        """Set what holds from now on."""
        self.link.publish(CONTROL_TOPIC, msgspec.json.encode(Control(effects)))


async def tell(contact: Contact, length: float, language: Literal["vi", "en", "both"]) -> None:
    """Tell the story on the city that runs on this broker, printing it as it happens.

    Raises:
        BrokerError: the broker cannot be reached, or no simulator runs on it.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    teller = _Teller(contact)
    running = asyncio.create_task(teller.link.run())
    try:
        try:
            status = await asyncio.wait_for(teller.status, HELLO_S)
        except TimeoutError:
            raise BrokerError(
                f"no simulator answers at {contact}; start one with `python -m ingest.simulator run`"
            ) from None
        city = layout.build(status.seed, status.wish)
        cast = choose(city, status.showing)
        start = time.time()
        teller.say(plan(status.seed, cast, start, length))
        await _print(teller, city, narrate(cast), start, length, language, stop)
    finally:
        teller.say(())
        await teller.link.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _print(
    teller: _Teller,
    city: City,
    beats: tuple[Beat, ...],
    start: float,
    length: float,
    language: Literal["vi", "en", "both"],
    stop: asyncio.Event,
) -> None:
    console = Console()
    for beat in beats:
        try:
            await asyncio.wait_for(stop.wait(), max(0.0, start + beat.at * length - time.time()))
        except TimeoutError:
            pass
        else:
            return
        elapsed = int(time.time() - start)
        clock = f"[dim]{elapsed // 60}:{elapsed % 60:02d}[/dim]"
        if language in ("vi", "both"):
            console.print(f"{clock}  [bold]{beat.text.vi}[/bold]", soft_wrap=True)
        if language in ("en", "both"):
            console.print(f"{clock if language == 'en' else '    '}  [cyan]{beat.text.en}[/cyan]", soft_wrap=True)
        for device in beat.devices:
            await teller.hear(device, min(QUOTE_S, 0.05 * length))
            console.print(
                f"      [dim]{_quote(city, device, teller.readings.get(device), language)}[/dim]", soft_wrap=True
            )


def _quote(city: City, device: str, values: Values | None, language: str) -> str:
    """A device's latest reading as it came over the broker."""
    site = city.site(device)
    name = site.name if site else device
    if not values:
        return f"{name}: –"  # it has not reported since the story began
    quoted = ((measure(key), value) for key, value in values.items() if key not in ("batteryLevel", "rssi"))
    return f"{name}: " + ", ".join(
        f"{row.label.in_language('en' if language == 'en' else 'vi')} {value} {'' if row.unit == '1' else row.unit}".strip()
        for row, value in quoted
    )
