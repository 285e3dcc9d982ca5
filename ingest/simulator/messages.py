"""The bytes devices send, in the native dialect."""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.simulator.city import Site
from ingest.simulator.footage import Clip
from ingest.simulator.world import Values

FIRMWARE = "sim-1"
_encode = msgspec.json.Encoder().encode


def announce(site: Site, clip: Clip | None = None) -> bytes:
    """Who a device is and where it stands; a camera says what its footage is."""
    attrs: dict[str, str | bool | float] = {"simulated": True}
    if site.kind == "tide_gauge":
        attrs["model"] = "thủy triều gần đúng, không phải bảng thủy triều · approximate tide, not a tide table"
    if clip is not None:
        attrs |= {
            "footage": clip.footage,
            "footage_en": clip.footage_en,
            "footage_source": clip.source,
            "footage_licence": clip.licence,
        }
    body: dict[str, Any] = {"kind": site.kind, "name": site.name, "lat": site.lat, "lon": site.lon}
    if site.parent:
        body["parent"] = site.parent
    return _encode({**body, "firmware": FIRMWARE, "attrs": attrs})


def telemetry(ts_ms: int, values: Values, boot: str, seq: int) -> bytes:
    """One set of readings taken together; ``boot`` and ``seq`` let a receiver count what was lost."""
    return _encode({"ts": ts_ms, "values": values, "boot": boot, "seq": seq})


def past(readings: list[tuple[int, Values]]) -> bytes:
    """Buffered readings, oldest first, each with its own time in epoch ms."""
    return _encode([{"ts": ts_ms, "values": values} for ts_ms, values in readings])


def result(order: int, refused: str = "") -> bytes:
    """What a device says to a command."""
    return _encode({"id": order, "ok": False, "detail": refused} if refused else {"id": order, "ok": True})


def state(word: str, reason: str = "", ts_ms: int | None = None) -> bytes:
    """A device's state; without a time it is a last will's."""
    body: dict[str, Any] = {"state": word}
    if reason:
        body["reason"] = reason
    return _encode(body if ts_ms is None else {"ts": ts_ms, **body})
