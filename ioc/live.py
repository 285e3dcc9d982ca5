"""Redis: the change stream, the newest frames, annotated snapshots, heartbeats. All of it can be rebuilt.

Nothing here is the truth: losing Redis stops the live view and the vision work queue, and loses no record.
Every foreign error leaves as `LiveError`, so that callers can go on without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ioc.errors import LiveError
from ioc.model import CameraFigures, Change, Frame, FrameArrived, Heartbeat

CHANGES: Final = "ioc:changes"
FRAMES: Final = "ioc:frames"
#: Entries kept: minutes of history at city load, enough for a reader that pauses; older readers start from a snapshot.
CHANGES_KEPT: Final = 5_000
FRAMES_KEPT: Final = 1_000
#: A heartbeat missing for this long means that the service is gone.
HEARTBEAT_TTL_S: Final = 10
#: What is told of a camera is forgotten when it is not told again for so long.
CAMERA_TTL_S: Final = 10

_encode = msgspec.msgpack.Encoder().encode
_decode_change = msgspec.msgpack.Decoder(Change).decode
_decode_heartbeat = msgspec.msgpack.Decoder(Heartbeat).decode
_decode_figures = msgspec.msgpack.Decoder(CameraFigures).decode


class Live:
    """A connection to Redis, for threads; each call raises `LiveError` when Redis is away."""

    def __init__(self, url: str, *, timeout_s: float = 2.0) -> None:
        # One try per call: the services own the waiting, since each has other work to go on with.
        self._redis = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()

    def ping(self) -> None:
        """Raise `LiveError` unless Redis answers."""
        with _translated():
            self._redis.ping()

    def time(self) -> float:
        """Redis' own clock, seconds since the epoch: the one that stream ids are made by."""
        with _translated():
            seconds, micros = self._redis.time()
        return seconds + micros / 1e6

    # --- change stream ---

    def publish(self, changes: Iterable[Change]) -> None:
        """Append committed changes to the stream, in order."""
        with _translated():
            pipe = self._redis.pipeline(transaction=False)
            for change in changes:
                pipe.xadd(CHANGES, {"c": _encode(change)}, maxlen=CHANGES_KEPT, approximate=True)
            pipe.execute()

    def last_id(self) -> str:
        """The id of the newest change, "0-0" on an empty stream. Take it BEFORE reading a snapshot from TimescaleDB."""
        with _translated():
            newest = cast("list[Any]", self._redis.xrevrange(CHANGES, count=1))
        return newest[0][0].decode() if newest else "0-0"

    def changes(self, after: str, *, block_ms: int = 1000, count: int = 500) -> list[tuple[str, Change]]:
        """Changes after that id, oldest first; waits up to `block_ms`, then returns [].

        Raises:
            LiveError: Redis is away, or the stream was trimmed past `after` (take a new snapshot).
        """
        with _translated():
            answer = cast("Any", self._redis.xread({CHANGES: after}, count=count, block=block_ms))
            entries = _stream_entries(answer)
            if after != "0-0":
                edge = cast("list[Any]", (self._redis.xrange if entries else self._redis.xrevrange)(CHANGES, count=1))
                edge_key = _stream_key(edge[0][0].decode()) if edge else (0, 0)
                # The oldest entry is asked after the reading: what was trimmed in between shows as an edge past the first entry.
                trimmed = bool(entries) and _stream_key(after) < edge_key >= _stream_key(entries[0][0].decode())
                if trimmed or (not entries and edge_key < _stream_key(after)):
                    raise LiveError(f"the change stream no longer holds {after}: take a new snapshot")
            return [(entry.decode(), _decode_change(fields[b"c"])) for entry, fields in entries]

    # --- frames ---

    def put_frame(self, frame: Frame) -> bool:
        """Keep the frame if it is the camera's newest, and tell the vision workers. False = an older frame, ignored."""
        with _translated():
            taken = self._redis.eval(
                _PUT_IF_NEWER,
                2,
                f"ioc:frame:{frame.camera}",
                FRAMES,
                _micros(frame.time),
                frame.jpeg,
                frame.camera,
                FRAMES_KEPT,
                _encode(FrameArrived(frame.camera, frame.time)),
                CHANGES,
                CHANGES_KEPT,
            )
        return bool(taken)

    def frame(self, camera: str) -> Frame | None:
        """The camera's newest frame."""
        with _translated():
            t, jpeg = cast("list[Any]", self._redis.hmget(f"ioc:frame:{camera}", ["t", "jpeg"]))
        return None if t is None else Frame(camera, _from_micros(int(t)), jpeg)

    def put_snapshot(self, frame: Frame, boxes: bytes) -> None:
        """Keep the annotated picture of a camera, beside its boxes (JSON as the pages read it)."""
        with _translated():
            self._redis.hset(
                f"ioc:snapshot:{frame.camera}", mapping={"t": _micros(frame.time), "jpeg": frame.jpeg, "boxes": boxes}
            )

    def snapshot(self, camera: str) -> tuple[Frame, bytes] | None:
        """The newest annotated picture of a camera and its boxes."""
        with _translated():
            t, jpeg, boxes = cast("list[Any]", self._redis.hmget(f"ioc:snapshot:{camera}", ["t", "jpeg", "boxes"]))
        return None if t is None else (Frame(camera, _from_micros(int(t)), jpeg), boxes)

    # --- the vision work queue ---

    def ensure_group(self, group: str) -> None:
        """Create the consumer group of the frame stream, unless it is there."""
        with _translated():
            try:
                self._redis.xgroup_create(FRAMES, group, id="$", mkstream=True)
            except redis.ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    def take_frames(self, group: str, consumer: str, *, count: int, block_ms: int) -> list[tuple[str, str]]:
        """Take up to `count` notices (entry id, camera) as this consumer.

        Raises:
            LiveError: Redis is away, or has forgotten the group (call `ensure_group` again).
        """
        with _translated():
            answer = cast("Any", self._redis.xreadgroup(group, consumer, {FRAMES: ">"}, count=count, block=block_ms))
        return [(entry.decode(), fields[b"camera"].decode()) for entry, fields in _stream_entries(answer)]

    def done_frames(self, group: str, entries: Iterable[str]) -> None:
        """Acknowledge notices that were worked on or dropped."""
        ids = list(entries)
        if ids:
            with _translated():
                self._redis.xack(FRAMES, group, *ids)

    def forget_workers(self, group: str, *, idle_s: float) -> int:
        """Forget the workers that have not asked for so long, and what they never acknowledged; returns how many."""
        with _translated():
            workers = cast("list[Any]", self._redis.xinfo_consumers(FRAMES, group))
            dead = [worker["name"] for worker in workers if worker["idle"] > idle_s * 1000]
            for name in dead:
                self._redis.xgroup_delconsumer(FRAMES, group, name)
        return len(dead)

    # --- how the cameras do ---

    def put_camera_figures(self, figures: Iterable[CameraFigures]) -> None:
        """Say how vision copes with cameras; forgotten after `CAMERA_TTL_S`. `reconnects` are not its to say."""
        with _translated():
            pipe = self._redis.pipeline(transaction=False)
            for one in figures:
                pipe.set(f"ioc:camera-figures:{one.camera}", _encode(one), ex=CAMERA_TTL_S)
            pipe.execute()

    def put_reconnects(self, reconnects: Mapping[str, int]) -> None:
        """Say how often the capture of cameras had to connect again; forgotten after `CAMERA_TTL_S`."""
        with _translated():
            pipe = self._redis.pipeline(transaction=False)
            for camera, count in reconnects.items():
                pipe.set(f"ioc:reconnects:{camera}", count, ex=CAMERA_TTL_S)
            pipe.execute()

    def camera_figures(self, cameras: Sequence[str]) -> dict[str, CameraFigures]:
        """How vision copes with these cameras; those that nobody looks at are left out."""
        if not cameras:
            return {}
        with _translated():
            values = cast("list[Any]", self._redis.mget([f"ioc:camera-figures:{camera}" for camera in cameras]))
            counts = cast("list[Any]", self._redis.mget([f"ioc:reconnects:{camera}" for camera in cameras]))
            return {
                camera: msgspec.structs.replace(
                    _decode_figures(value), reconnects=None if count is None else int(count)
                )
                for camera, value, count in zip(cameras, values, counts, strict=True)
                if value is not None
            }

    # --- heartbeats ---

    def beat(self, heartbeat: Heartbeat) -> None:
        """Say that a service lives; forgotten after `HEARTBEAT_TTL_S`."""
        with _translated():
            self._redis.set(
                f"ioc:heartbeat:{heartbeat.service}:{heartbeat.instance}", _encode(heartbeat), ex=HEARTBEAT_TTL_S
            )

    def heartbeats(self) -> list[Heartbeat]:
        """Those of every service that lives."""
        with _translated():
            keys = sorted(cast("Iterable[bytes]", self._redis.scan_iter("ioc:heartbeat:*", count=1000)))
            values = cast("list[Any]", self._redis.mget(keys)) if keys else []
        return [_decode_heartbeat(value) for value in values if value is not None]


#: Newest wins, in one step, so that a late frame of a slow connection never replaces a newer one.
_PUT_IF_NEWER: Final = """
local t = redis.call('HGET', KEYS[1], 't')
if t and tonumber(t) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 't', ARGV[1], 'jpeg', ARGV[2])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'camera', ARGV[3])
redis.call('XADD', ARGV[6], 'MAXLEN', '~', ARGV[7], '*', 'c', ARGV[5])
return 1
"""


def _stream_entries(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries of a one-stream XREAD answer, whichever RESP version the server speaks."""
    if not answer:
        return []
    if isinstance(answer, dict):
        (entries,) = answer.values()
        return cast(
            "list[tuple[bytes, dict[bytes, bytes]]]",
            entries[0] if entries and isinstance(entries[0], list) else entries,
        )
    return cast("list[tuple[bytes, dict[bytes, bytes]]]", answer[0][1])


def _stream_key(entry: str) -> tuple[int, int]:
    ms, _, seq = entry.partition("-")
    return int(ms), int(seq)


def _micros(time: datetime) -> int:
    return round(time.timestamp() * 1e6)


def _from_micros(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1e6, UTC)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise LiveError(f"Redis: {error}") from error
    except msgspec.MsgspecError as error:
        raise LiveError(f"an entry of Redis is not ours: {error}") from error
