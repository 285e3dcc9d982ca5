"""What the wall stands on: the broker, the two stores and the services, each with its state, its age and its fault."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from ioc.broker_drops import FIGURE
from ioc.model import Heartbeat

LinkState = Literal["ok", "degraded", "lost", "unknown"]

#: Services the wall expects, in the order of the data's way.
SERVICES: Final = ("ingest", "vision", "alarms")
#: Names under which ingest reports its broker missing.
_BROKER: Final = frozenset({"broker", "mqtt"})


#: A service that was never heard of is missing, not about to come, after this time.
_UNHEARD_S: Final = 15.0
#: That the broker dropped messages is shown for so long.
_DROPPED_S: Final = 3600.0


class Link(NamedTuple):
    """One link: `time` is when it was last known good, epoch seconds, 0 = never since this process started."""

    key: str
    state: LinkState
    time: float
    reason: str
    figures: dict[str, float]


class Links:
    """Remembers when each link was last good."""

    def __init__(self) -> None:
        self._good: dict[str, float] = {}
        self._faults: dict[str, str] = {"redis": "", "timescaledb": ""}
        self._known: set[str] = set()
        self._beats: list[Heartbeat] = []
        self._began = 0.0
        #: What the broker counts, from nought when it starts again; the count when it last rose, and when that was.
        self._counted = self._dropped = self._dropped_at = 0.0

    def good(self, key: str, now: float) -> None:
        """A store has answered."""
        self._known.add(key)
        self._good[key] = now
        self._faults[key] = ""

    def lost(self, key: str, why: object) -> None:
        """A store does not answer."""
        self._known.add(key)
        self._faults[key] = str(why)

    def heard(self, beats: list[Heartbeat]) -> None:
        """The heartbeats of all services that live."""
        self._beats = beats
        told = [beat for beat in beats if FIGURE in beat.figures]
        if told:
            newest = max(told, key=lambda beat: beat.time)
            counted = newest.figures[FIGURE]
            if counted > self._counted:
                self._dropped, self._dropped_at = counted, newest.time.timestamp()
            self._counted = counted

    def rows(self, now: float) -> list[Link]:
        """All links, in the order of the data's way."""
        services = {key: self._service(key, now) for key in SERVICES}
        stores = {key: self._store(key) for key in ("timescaledb", "redis")}
        if stores["redis"].state == "lost":
            # Without Redis nobody's heartbeat arrives; that says nothing about them.
            services = {key: link._replace(state="unknown", reason="redis") for key, link in services.items()}
        truth = self._service("truth", now)
        self._began = self._began or now
        unheard = truth.state == "unknown" and now - self._began > _UNHEARD_S
        if services["vision"].state == "ok" and (unheard or truth.state in ("lost", "degraded")):
            # Nobody says which pictures can be trusted.
            why = f"truth: {truth.reason or 'no heartbeat'}"
            services["vision"] = services["vision"]._replace(state="degraded", reason=why)
        broker = self._broker(services["ingest"], now)
        return [
            broker,
            services["ingest"],
            stores["timescaledb"],
            stores["redis"],
            services["vision"],
            services["alarms"],
        ]

    def _store(self, key: str) -> Link:
        fault = self._faults[key]
        state: LinkState = "lost" if fault else "ok" if key in self._known else "unknown"
        return Link(key, state, self._good.get(key, 0.0), fault, {})

    def _service(self, key: str, now: float) -> Link:
        beats = [beat for beat in self._beats if beat.service == key]
        if not beats:
            return Link(key, "lost" if key in self._good else "unknown", self._good.get(key, 0.0), "", {})
        self._good[key] = now
        degraded = [beat for beat in beats if beat.state == "degraded"]
        figures: dict[str, float] = {}
        for beat in beats:
            for name, value in beat.figures.items():
                figures[name] = figures.get(name, 0.0) + value
        newest = max(beat.time.timestamp() for beat in beats)
        return Link(key, "degraded" if degraded else "ok", newest, degraded[0].reason if degraded else "", figures)

    def _broker(self, ingest: Link, now: float) -> Link:
        if ingest.state in ("lost", "unknown"):
            return Link("mqtt", "unknown", self._good.get("mqtt", 0.0), "ingest", {})
        parts = dict(part.partition(": ")[::2] for part in ingest.reason.split("; "))
        fault = next((why or name for name, why in parts.items() if name.lower() in _BROKER), "")
        if not fault:
            self._good["mqtt"] = now
        good = self._good.get("mqtt", 0.0)
        if not fault and self._dropped and now - self._dropped_at < _DROPPED_S:
            why = f"dropped {self._dropped:.0f} messages since it started"
            return Link("mqtt", "degraded", good, why, {"dropped": self._dropped})
        return Link("mqtt", "lost" if fault else "ok", good, fault, {})
