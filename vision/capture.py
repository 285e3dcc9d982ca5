"""Cameras that cannot speak MQTT: `python -m vision.capture` takes their pictures and publishes them as they would.

Sources are files (played at their own pace, again and again), HTTP snapshots and RTSP streams, as `capture_sources` names
them. The broker, ingest and everything behind see an ordinary camera: announced, online, offline, lost.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Final, cast

from prometheus_client import Counter

from ioc.errors import LiveError, SourceError
from ioc.live import Live
from ioc.mqtt import Contact
from ioc.service import LogOnce, Service, backoff, run
from ioc.settings import Settings
from vision.address import Network, networks, pin, redacted
from vision.camera_voice import CameraVoice
from vision.grabber import Task
from vision.http_source import snapshots
from vision.picture import fit_jpeg
from vision.video_source import stream, video

#: Pauses between attempts at a source that fails.
FIRST_PAUSE_S: Final = 1.0
MOST_PAUSE_S: Final = 60.0
_STILLS: Final = (".jpg", ".jpeg")
_WINDOW_S: Final = 10.0
#: How often the pages are told of reconnections.
_TELL_S: Final = 2.0

#: The sources are those of the settings, so the cameras are few enough to be labels.
RECONNECTS: Final = Counter("ioc_capture_reconnects_total", "Further attempts at a source.", ["camera"])

Frames = AsyncIterator[tuple[int, bytes]]


class Camera:
    """One captured camera: its source, its voice, and how it goes."""

    def __init__(self, camera: str, source: str, service: Service, allow: list[Network], contact: Contact) -> None:
        self.camera = camera
        self.online = False
        self.reconnects = 0
        self.recent: deque[float] = deque(maxlen=1000)
        self._source = source
        self._why = ""
        self._allow = allow
        self._settings = service.settings
        self._stopping = service.stopping
        self._log = LogOnce(service.log, f"camera {camera} ({redacted(source) if '://' in source else source})")
        self.voice = CameraVoice(camera, contact)

    async def follow(self) -> None:
        """Take pictures until cancelled; a source that fails is tried again, with growing, jittered pauses."""
        pauses = backoff(FIRST_PAUSE_S, MOST_PAUSE_S)
        while not self._stopping.is_set():
            try:
                async with aclosing(cast("AsyncGenerator[tuple[int, bytes]]", await self._open())) as frames:
                    async for time_ms, jpeg in frames:
                        self._took(time_ms, jpeg)
                        pauses = backoff(FIRST_PAUSE_S, MOST_PAUSE_S)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other sources go on
                # OSError: a path that cannot be one, or this machine has no more of something.
                why = str(error) if isinstance(error, (SourceError, OSError)) else _fault(error)
                self._log.lost(why)
                self.online = False
                if why != self._why:
                    self._why = why
                    self.voice.say("offline", self._why)
            await asyncio.sleep(next(pauses))
            self.reconnects += 1
            RECONNECTS.labels(self.camera).inc()

    def _took(self, time_ms: int, jpeg: bytes) -> None:
        if self.voice.frame(time_ms, jpeg):
            self.recent.append(time.monotonic())
        if not self.online:
            self.online = True
            self._why = ""
            self._log.back()
            self.voice.say("online")

    async def _open(self) -> Frames:
        """The frames of the source.

        Raises:
            SourceError: it may not be reached, or is none.
        """
        fps, most = self._settings.capture_fps, self._settings.max_payload_bytes
        if "://" not in self._source:
            if await asyncio.to_thread(still_files, Path(self._source)) is None:
                return video(Task(self._source, fps, most, live=False))
            return stills(Path(self._source), fps, most)
        # Looked up anew at each attempt, off the loop: a resolver may take its time.
        place = await asyncio.to_thread(pin, self._source, self._allow)
        if place.url.startswith("http"):
            return snapshots(place, fps, most)
        return stream(place, fps, most)


def _fault(error: Exception) -> str:
    """What failed, and where; not its text, which may hold a password."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(at.filename).name}:{at.lineno}"


def still_files(path: Path) -> list[Path] | None:
    """The JPEGs of a folder in the order of their names, or the one that is named; None when it is something else."""
    if path.is_dir():
        return sorted(one for one in path.iterdir() if one.suffix.lower() in _STILLS)
    return [path] if path.suffix.lower() in _STILLS else None


async def stills(path: Path, fps: float, most_bytes: int) -> Frames:
    """Still pictures, one after the other, again and again.

    Raises:
        SourceError: there are none, or one cannot be read.
    """
    while True:
        files = await asyncio.to_thread(still_files, path)
        if not files:
            raise SourceError("the folder holds no .jpg files")
        for file in files:
            try:
                jpeg = await asyncio.to_thread(_read, file, most_bytes)
            except (OSError, ValueError) as error:
                raise SourceError(f"{file.name} cannot be read: {error}") from error
            yield time.time_ns() // 1_000_000, jpeg
            await asyncio.sleep(1 / fps)


def _read(file: Path, most_bytes: int) -> bytes:
    return fit_jpeg(file.read_bytes(), most_bytes)


async def capture(service: Service) -> None:
    """Follow every source until the service stops; without any, wait for nothing but the stop.

    Raises:
        SettingsError: a setting of the sources is wrong.
        TopicError: a camera's id cannot be a topic.
    """
    settings = service.settings
    if not settings.capture_sources:
        service.log.info("idle", why="capture_sources names no camera, which is normal where cameras speak MQTT")
    allow = networks(settings.capture_allow)
    cameras: list[Camera] = []
    live = Live(settings.require("redis_url"))
    tell = 0.0
    try:
        if settings.capture_sources:
            contact = Contact.of(settings)
            cameras += [
                Camera(camera, source, service, allow, contact) for camera, source in settings.capture_sources.items()
            ]
        service.figures = lambda: figures(cameras)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one.follow(), name=one.camera) for one in cameras]
            while not service.stopping.is_set():
                _report(service, cameras)
                if time.monotonic() >= tell:
                    tell = time.monotonic() + _TELL_S
                    await asyncio.to_thread(_tell, live, {one.camera: one.reconnects for one in cameras})
                await asyncio.sleep(0.25)
            for task in tasks:
                task.cancel()
    finally:
        for one in cameras:
            one.voice.close("capture stopped")
        live.close()


def _tell(live: Live, reconnects: dict[str, int]) -> None:
    """Tell the pages; with Redis away there is nobody to tell, as the heartbeat says already."""
    with suppress(LiveError):
        live.put_reconnects(reconnects)


def figures(cameras: list[Camera]) -> dict[str, float]:
    """Numbers for the heartbeat."""
    since = time.monotonic() - _WINDOW_S
    frames = sum(sum(1 for at in list(one.recent) if at >= since) for one in cameras)
    return {
        "sources": float(len(cameras)),
        "online": float(sum(one.online for one in cameras)),
        "frames_s": round(frames / _WINDOW_S, 1),
    }


def _report(service: Service, cameras: list[Camera]) -> None:
    lost = [one.camera for one in cameras if not one.online]
    if lost:
        service.degrade("cameras", f"{len(lost)} of {len(cameras)} give no pictures: {', '.join(lost[:5])}")
    else:
        service.recover("cameras")
    if any(not one.voice.connected for one in cameras):
        service.degrade("mqtt", "the broker is away")
    else:
        service.recover("mqtt")


def main() -> None:
    """`python -m vision.capture`."""
    with Service("capture", Settings.load()) as service:
        asyncio.run(capture(service))


if __name__ == "__main__":
    run(main)
