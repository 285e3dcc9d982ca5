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
from ioc.model import CameraFigures, Change, Frame, FrameArrived, Heartbeat, RulesWatched

CHANGES: Final = "ioc:changes"
FRAMES: Final = "ioc:frames"
#: Entries kept: minutes of history at city load, enough for a reader that pauses; older readers start from a snapshot.
CHANGES_KEPT: Final = 5_000
#: Word of frames: some seconds of a thousand cameras.
FRAMES_KEPT: Final = 10_000
#: A frame as it came shows people as they are: it is forgotten when nobody can want to look at it any more.
FRAME_TTL_S: Final = 600
#: A heartbeat missing for this long means that the service is gone.
HEARTBEAT_TTL_S: Final = 10
#: What is told of a camera is forgotten when it is not told again for so long.
CAMERA_TTL_S: Final = 10
#: How rules are is told with each frame, and some cameras send every ten seconds or more rarely.
RULES_TTL_S: Final = 30

_encode = msgspec.msgpack.Encoder().encode
_decode_change = msgspec.msgpack.Decoder(Change).decode
_decode_heartbeat = msgspec.msgpack.Decoder(Heartbeat).decode
_decode_figures = msgspec.msgpack.Decoder(CameraFigures).decode
_decode_watched = msgspec.msgpack.Decoder(RulesWatched).decode


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
                FRAME_TTL_S,
            )
        return bool(taken)

    def frame(self, camera: str) -> Frame | None:
        """The camera's newest frame."""
        newest = self.newest_frame(camera)
        return None if newest is None else newest[0]

    def newest_frame(self, camera: str) -> tuple[Frame, float] | None:
        """The camera's newest frame, and when it came, in seconds of Redis' clock since the epoch."""
        with _translated():
            t, jpeg, came = cast("list[Any]", self._redis.hmget(f"ioc:frame:{camera}", ["t", "jpeg", "came"]))
        return None if came is None else (Frame(camera, _from_micros(int(t)), jpeg), int(came) / 1e6)

    def frame_time(self, camera: str) -> datetime | None:
        """When the camera's newest frame was taken."""
        with _translated():
            t = cast("Any", self._redis.hget(f"ioc:frame:{camera}", "t"))
        return None if t is None else _from_micros(int(t))

    def put_snapshot(self, frame: Frame, boxes: bytes, *, clear: bool = False) -> None:
        """Keep the annotated picture of a camera, beside its boxes (JSON as the pages read it), for as long as a frame.

        Args:
            frame: the picture.
            boxes: what was seen on it.
            clear: people on it are not hidden.
        """
        key = f"ioc:snapshot:{frame.camera}"
        values: dict[Any, Any] = {
            "t": _micros(frame.time),
            "jpeg": frame.jpeg,
            "boxes": boxes,
            "hidden": int(not clear),
        }
        with _translated():
            pipe = self._redis.pipeline()
            pipe.hset(key, mapping=values)
            pipe.expire(key, FRAME_TTL_S)
            pipe.execute()

    def snapshot(self, camera: str) -> tuple[Frame, bytes, bool] | None:
        """The newest annotated picture of a camera, its boxes, and whether people on it are clear to see."""
        names = ["t", "jpeg", "boxes", "hidden"]
        with _translated():
            t, jpeg, boxes, hidden = cast("list[Any]", self._redis.hmget(f"ioc:snapshot:{camera}", names))
        return None if t is None else (Frame(camera, _from_micros(int(t)), jpeg), boxes, hidden != b"1")

    # --- the cameras' shares among the vision workers ---

    def new_frames(self, after: str, *, count: int, block_ms: int) -> list[tuple[str, str]]:
        """Word of frames (id, camera) that came after an id, oldest first; waits up to `block_ms`, then returns []."""
        with _translated():
            answer = cast("Any", self._redis.xread({FRAMES: after}, count=count, block=block_ms))
            return [(entry.decode(), fields[b"camera"].decode()) for entry, fields in _stream_entries(answer)]

    def claim_cameras(
        self,
        group: str,
        worker: str,
        *,
        lease_s: float,
        mine: Sequence[str] = (),
        silent: Sequence[str] = (),
        heard: Iterable[str] = (),
    ) -> set[str]:
        """Renew a worker's lease; returns the cameras that are its own until the lease ends, unless it is renewed before.

        In one step, so that no camera has two owners. Cameras of workers whose lease has ended, and new ones, go to whoever has
        fewest; a worker that has two more than another gives of its own. So a camera stays where it is as long as that is fair.

        Args:
            group: workers of one group share the cameras among them.
            worker: the one that asks.
            lease_s: how long it may say nothing before its cameras go to others.
            mine: its cameras until now; still its own when Redis has forgotten them.
            silent: those of its own that send nothing any more: forgotten until somebody hears them again.
            heard: other cameras that it heard of.
        """
        lease_ms = round(lease_s * 1000)
        keys = f"ioc:vision:{group}:workers", f"ioc:vision:{group}:cameras"
        with _translated():
            held = self._redis.eval(_CLAIM, 2, *keys, worker, lease_ms, len(silent), len(mine), *silent, *mine, *heard)
        return {camera.decode() for camera in cast("list[bytes]", held)}

    def leave_cameras(self, group: str, worker: str) -> None:
        """End a worker's lease now: the next that renews its own shares its cameras out."""
        with _translated():
            self._redis.zrem(f"ioc:vision:{group}:workers", worker)

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

    def put_rules_watched(self, watched: Iterable[RulesWatched]) -> None:
        """Say how the rules of cameras are; forgotten after `RULES_TTL_S`."""
        with _translated():
            pipe = self._redis.pipeline(transaction=False)
            for one in watched:
                pipe.set(f"ioc:rules:{one.camera}", _encode(one), ex=RULES_TTL_S)
            pipe.execute()

    def rules_watched(self, camera: str) -> RulesWatched | None:
        """How the rules of a camera are; None when nobody follows them."""
        with _translated():
            value = cast("Any", self._redis.get(f"ioc:rules:{camera}"))
            return None if value is None else _decode_watched(value)

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
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 't', ARGV[1], 'jpeg', ARGV[2], 'came', now[1] .. string.format('%06d', now[2]))
redis.call('EXPIRE', KEYS[1], ARGV[8])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'camera', ARGV[3])
redis.call('XADD', ARGV[6], 'MAXLEN', '~', ARGV[7], '*', 'c', ARGV[5])
return 1
"""

#: Who looks at which camera. KEYS: live workers by the time of their last word, owner of each camera. When nobody has said a
#: word for a whole lease, and one of them speaks, it was Redis that stood still: then nobody has lost theirs.
_CLAIM: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local me, lease, silent, mine = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
if last and tonumber(last) < now - lease and redis.call('ZSCORE', KEYS[1], me) then
  for _, worker in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZADD', KEYS[1], now, worker) end
end
redis.call('ZADD', KEYS[1], now, me)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. (now - lease))
for i = 5, 4 + silent do
  if redis.call('HGET', KEYS[2], ARGV[i]) == me then redis.call('HDEL', KEYS[2], ARGV[i]) end
end
for i = 5 + silent, 4 + silent + mine do redis.call('HSETNX', KEYS[2], ARGV[i], me) end
local workers = redis.call('ZRANGE', KEYS[1], 0, -1)
table.sort(workers)
local held, known, free = {}, {}, {}
for _, worker in ipairs(workers) do held[worker] = {} end
local owners = redis.call('HGETALL', KEYS[2])
for i = 1, #owners, 2 do
  known[owners[i]] = true
  table.insert(held[owners[i + 1]] or free, owners[i])
end
for i = 5 + silent + mine, #ARGV do
  if not known[ARGV[i]] then
    known[ARGV[i]] = true
    table.insert(free, ARGV[i])
  end
end
local function fewest()
  local found = workers[1]
  for _, worker in ipairs(workers) do
    if #held[worker] < #held[found] then found = worker end
  end
  return found
end
local function give(camera)
  local worker = fewest()
  table.insert(held[worker], camera)
  redis.call('HSET', KEYS[2], camera, worker)
end
for _, camera in ipairs(free) do give(camera) end
local all = 0
for _, worker in ipairs(workers) do all = all + #held[worker] end
local fair = math.floor(all / #workers)
while #held[me] > fair and #held[me] - #held[fewest()] >= 2 do give(table.remove(held[me])) end
return held[me]
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
