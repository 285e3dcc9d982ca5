"""Device time: reading it, and judging it; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ioc.errors import RejectedError
from ioc.values import shorten

#: Processes that may give receive times at once: each takes every so many-th microsecond, starting with its own.
LANES: Final = 32
#: 9999-12-31: the last day a datetime can hold.
_LAST_MS: Final = 253_402_300_799_999
_STEP: Final = timedelta(microseconds=LANES)
_FAR_AHEAD: Final = timedelta(seconds=1)
#: A picture is of now: its time is believed no further ahead of ours.
_PICTURE_AHEAD: Final = timedelta(seconds=5)
#: Pictures that come in order for so long, each older than one before them, are not late: the camera's clock was set back.
_SET_BACK: Final = timedelta(seconds=3)


def device_time(raw: Any) -> datetime:
    """The time a device states: epoch milliseconds, or ISO-8601 with its zone.

    Raises:
        RejectedError: `time`.
    """
    if type(raw) is int or (type(raw) is float and raw == raw):
        if not 0 <= raw <= _LAST_MS:
            raise RejectedError("time", f"ts: got {shorten(raw)}, expected epoch milliseconds from 0 to {_LAST_MS}")
        return datetime.fromtimestamp(raw / 1000, UTC)
    if isinstance(raw, str):
        try:
            time = datetime.fromisoformat(raw)
            if time.tzinfo is None:
                raise RejectedError("time", f"ts: got {shorten(raw)}, which states no zone; end it with Z or +07:00")
            return time.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    got = "nothing" if raw is None else shorten(raw)
    raise RejectedError("time", f"ts: got {got}, expected epoch milliseconds or ISO-8601 with a zone")


class Clocks:
    """Says which device times are believed, and gives receive times that never meet for what has no other.

    A device that empties its buffer with a wrong clock sends many readings of one measure in one message; stored at one
    receive time they would be one key. Each takes the next free microsecond.
    """

    def __init__(self, *, ahead_s: float, behind_s: float, lane: int = 0) -> None:
        self._ahead_ms = ahead_s * 1000
        self._behind_ms = behind_s * 1000
        self._lane = lane % LANES
        self._last = datetime.min.replace(tzinfo=UTC)

    def believed(self, received_ms: float) -> tuple[float, float]:
        """The earliest and latest device time that is believed of what came then; all in epoch milliseconds."""
        return received_ms - self._behind_ms, received_ms + self._ahead_ms

    def free_time(self, received: datetime) -> datetime:
        """The receive time, moved to a microsecond that was not given out before, in no process."""
        time = received.replace(microsecond=received.microsecond // LANES * LANES + self._lane)
        self._last = time = time if self._last < time else self._last + _STEP
        return time

    def keep_free(self, received: datetime, readings: int) -> None:
        """Leave room behind the last time given out: a message may later be found to hold so many readings more.

        Not when the times given out run ahead of the clock already, for then they would never come back to it.
        """
        if self._last - received < _FAR_AHEAD:
            self._last += readings * _STEP


class _PictureClock:
    """One camera's.

    Attributes:
        newest: time of its newest picture, as it was given.
        off: what is added to its own times.
        last, since: own time of its newest picture of those that came in order and too old, and when the first of these came.
    """

    def __init__(self) -> None:
        self.newest = self.last = datetime.min.replace(tzinfo=UTC)
        self.off = timedelta(0)
        self.since: datetime | None = None


class PictureClocks:
    """Times of pictures: of each camera they only go up, also when its clock is set back, or it would not be seen until they did.

    Where its clock is not believed its pictures keep their distances, from the receive time of one of them on.
    """

    def __init__(self) -> None:
        self._clocks: defaultdict[str, _PictureClock] = defaultdict(_PictureClock)

    def seen(self, newest: Mapping[str, datetime]) -> None:
        """Take up what was known when the last process ended."""
        for camera, time in newest.items():
            self._clocks[camera].newest = time

    def taken(self, camera: str, own: datetime, received: datetime, earliest: datetime) -> datetime:
        """When a picture was taken; not after the newest one where it is older, and to be shown to nobody.

        Args:
            camera: whose it is.
            own: its own time.
            received: when it came.
            earliest: an own time before this is not believed.
        """
        clock = self._clocks[camera]
        right = max(clock.newest, earliest) < own <= received + _PICTURE_AHEAD
        time = own if right else own + clock.off
        if time <= clock.newest:
            if clock.since is None or own <= clock.last:
                clock.since = received
            clock.last = own
            if received - clock.since < _SET_BACK:
                return time
            time = received
        if not earliest <= time <= received + _PICTURE_AHEAD:
            time = received
        clock.off, clock.since = time - own, None
        clock.newest = max(clock.newest, time)
        return time
