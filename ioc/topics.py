"""The native MQTT topic grammar: `ioc/<device>/<channel>[/<epoch ms>]`.

The device is one level, so that a broker's access list can hold a device to its own name (`pattern write ioc/%u/#`).
"""

from __future__ import annotations

import re
import unicodedata
from itertools import zip_longest
from typing import Final, Literal, NamedTuple, cast

from ioc.errors import TopicError

ROOT: Final = "ioc"
Channel = Literal["announce", "telemetry", "state", "frame", "command", "command/result"]

DEVICE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_CHANNELS: Final = frozenset({"announce", "telemetry", "state", "command"})
#: Characters of a topic filter that a person may write.
MOST_FILTER: Final = 300
_EPOCH_MS: Final = re.compile(r"[0-9]{1,15}", re.ASCII)


class Topic(NamedTuple):
    """A parsed native topic; `time_ms` is set for frames alone."""

    device: str
    channel: Channel
    time_ms: int | None = None


def build(device: str, channel: Channel, time_ms: int | None = None) -> str:
    """Build the topic of a device's channel.

    Raises:
        TopicError: when the device id breaks the grammar, or a frame lacks its time.

    >>> build("air-7", "telemetry")
    'ioc/air-7/telemetry'
    """
    if not DEVICE_ID.fullmatch(device):
        raise TopicError(f"device id {device!r}: expected {DEVICE_ID.pattern}")
    if (channel == "frame") != (time_ms is not None):
        raise TopicError(f"channel {channel!r} with time {time_ms!r}: a frame, and only a frame, carries its time")
    return f"{ROOT}/{device}/{channel}" if time_ms is None else f"{ROOT}/{device}/frame/{time_ms}"


def parse(topic: str) -> Topic:
    """Parse a native topic.

    Raises:
        TopicError: when it does not follow the grammar.

    >>> parse("ioc/cam-1/frame/1700000000000")
    Topic(device='cam-1', channel='frame', time_ms=1700000000000)
    """
    levels = topic.split("/")
    if len(levels) < 3 or levels[0] != ROOT:
        raise TopicError(f"topic {topic!r}: expected {ROOT}/<device>/<channel>")
    device, rest = levels[1], levels[2:]
    if not DEVICE_ID.fullmatch(device):
        raise TopicError(f"topic {topic!r}: device id {device!r}: expected {DEVICE_ID.pattern}")
    match rest:
        case [channel] if channel in _CHANNELS:
            return Topic(device, cast("Channel", channel))
        case ["command", "result"]:
            return Topic(device, "command/result")
        case ["frame", stamp] if _EPOCH_MS.fullmatch(stamp):
            return Topic(device, "frame", int(stamp))
    raise TopicError(
        f"topic {topic!r}: channel {'/'.join(rest)!r}: expected announce, telemetry, state, command, command/result"
        " or frame/<epoch ms>"
    )


def covers(wide: str, narrow: str) -> bool:
    """Whether every topic that one filter matches is also matched by another.

    >>> covers("tele/+/SENSOR", "tele/lamp/SENSOR"), covers("a/#", "a"), covers("a/b", "a/+")
    (True, True, False)
    """
    wanted, given = wide.split("/"), narrow.split("/")
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place >= len(given) or (level != given[place] and (level != "+" or given[place] == "#")):
            return False
    return len(wanted) == len(given)


def is_exact(topic: str, most: int = 500) -> bool:
    """Whether a text that a stranger calls a topic names one topic alone, in a way that a broker takes.

    Wildcards and `$` (a share, or the broker's own) would name others too; control characters, half surrogate pairs and
    non-characters make a broker drop the connection.

    >>> is_exact("hall/lamp"), is_exact("hall/#"), is_exact("$share/x/hall")
    (True, False, False)
    """
    return (
        0 < len(topic) <= most
        and topic[0] != "$"
        and "#" not in topic
        and "+" not in topic
        and all(unicodedata.category(character) not in ("Cc", "Cs", "Cn") for character in topic)
    )


def matches(pattern: str, topic: str) -> bool:
    """Whether a filter matches a topic; a wildcard at its beginning matches none that begins with `$`.

    >>> matches("home/+/temp", "home/attic/temp"), matches("#", "$SYS/uptime")
    (True, False)
    """
    return not (topic.startswith("$") and pattern[:1] in ("+", "#")) and covers(pattern, topic)


def overlap(one: str, other: str) -> bool:
    """Whether some topic is matched by both filters.

    >>> overlap("a/+", "+/b"), overlap("a/#", "a"), overlap("a/+", "a/b/c")
    (True, True, False)
    """
    for place, (level, against) in enumerate(zip_longest(one.split("/"), other.split("/"))):
        both = (level, against)
        if place == 0 and any(str(name).startswith("$") for name in both) and ("+" in both or "#" in both):
            return False
        if "#" in both:
            return True
        if None in both or (level != against and "+" not in both):
            return False
    return True


def check_filter(text: str) -> None:
    """Check a topic filter that a person wrote.

    Raises:
        TopicError: it is none, or one that nobody should listen to.
    """
    if not text or len(text) > MOST_FILTER:
        raise TopicError(f"topic filter: got {len(text)} characters, expected 1 to {MOST_FILTER}")
    if not text.isprintable():
        raise TopicError(f"topic filter {text!r}: expected printable characters")
    if text.startswith("$"):
        raise TopicError(f"topic filter {text!r}: topics that begin with $ are the broker's own")
    levels = text.split("/")
    for place, level in enumerate(levels):
        if ("+" in level and level != "+") or ("#" in level and (level != "#" or place + 1 < len(levels))):
            raise TopicError(
                f"topic filter {text!r}: + stands for one whole level, # for all that follow and only at the end"
            )
