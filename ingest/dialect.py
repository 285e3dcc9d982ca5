"""What a dialect is: the topics it takes, what decodes them, and how a lamp of it is told to be on, off or dimmed.

A dialect knows formats alone. What may be stored is decided in `ingest.intake`, once for all of them. One thread decodes, so a
dialect may keep what it has learnt (configurations, aliases) in plain dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from ingest.intake import Intake
from ingest.message import Outgoing
from ioc.model import Device

#: The shared-subscription group of several processes, where the settings name none.
GROUP: Final = "ingest"
#: Decodes a payload of a device into an intake. Raises `RejectedError` when nothing of it can be stored.
Handler = Callable[[str, bytes, Intake], None]


class Route(NamedTuple):
    """Where a message goes.

    Attributes:
        device: the id of the device the topic speaks of, "" when the payload tells.
        dialect: name of the dialect, for quarantine and registration.
        handle: what decodes the payload.
        lasting: the same topic always goes this way, so that it need not be asked again.
        of_now: it says how things stand, or how what comes later is to be understood; so it is heard when it comes, and never
            decoded again from quarantine.
    """

    device: str
    dialect: str
    handle: Handler
    lasting: bool = True
    of_now: bool = False


class Subscription(NamedTuple):
    """A topic filter of a dialect.

    Attributes:
        filter: MQTT topic filter, without any share.
        reach: when several processes run: `shared` among them; `first`: read by the first alone, because the order of messages or
            what was said before decides what they mean; `every`: each gets all of them.
        retained: retained messages are wanted, once a process; else what is retained was received when it was sent.
    """

    filter: str
    reach: Literal["shared", "first", "every"] = "shared"
    retained: bool = False


class Filters(NamedTuple):
    """What a process subscribes to.

    Attributes:
        share: what goes before a filter that several processes share.
        bare: the filters of all dialects, without any share.
        standing: filter → whether its retained messages are wanted.
        unwanted: filters that the session may hold from another time, when the process shared its work otherwise.
    """

    share: str
    bare: tuple[str, ...]
    standing: dict[str, bool]
    unwanted: tuple[str, ...]


def filters(subscriptions: Iterable[Subscription], group: str, *, first: bool) -> Filters:
    """The filters of one process.

    Args:
        subscriptions: of all dialects.
        group: the shared-subscription group, "" for a process that is alone.
        first: it reads what one process alone must read.
    """
    standing: dict[str, bool] = {}
    known: list[str] = []
    bare = []
    for one in subscriptions:
        bare.append(one.filter)
        shared = f"$share/{group or GROUP}/{one.filter}"
        known += [one.filter, shared]
        if not group or one.reach == "every" or (one.reach == "first" and first):
            standing[one.filter] = one.retained
        elif one.reach == "shared":
            standing[shared] = one.retained
    unwanted = tuple(name for name in known if name not in standing)
    return Filters(f"$share/{group}/" if group else "", tuple(bare), standing, unwanted)


def unshared(name: str) -> str:
    """A filter without any share.

    >>> unshared("$share/ingest/ioc/+/telemetry"), unshared("ioc/+/state")
    ('ioc/+/telemetry', 'ioc/+/state')
    """
    return name.split("/", 2)[2] if name.startswith("$share/") else name


class Dialect(Protocol):
    """One way that devices speak.

    Attributes:
        name: stable key, stored with devices and quarantined messages.
        prefix: what the ids of its devices begin with, before a dot; "" for the native one alone.
        subscriptions: the topics it always takes; more may be asked for with `Intake.listen`.
    """

    name: str
    prefix: str
    subscriptions: Sequence[Subscription]

    def route(self, topic: str) -> Route | None:
        """Where a message of that topic goes; None when the topic is none of this dialect's.

        Raises:
            RejectedError: `topic`, when it is one of its own and breaks its grammar.
        """
        ...

    def light(self, device: Device, level: float, order: int) -> Sequence[Outgoing]:
        """The messages that tell a lamp to shine.

        Args:
            device: as registered; `attrs` holds what the dialect noted at discovery. Nothing else counts: the instance that is
                asked has decoded no message, and may be in another process.
            level: 0 off, 1 full, between them dimmed.
            order: number of the command, for dialects whose answers name it.

        Raises:
            CommandError: this device cannot be told so, and why.
        """
        ...


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration of another system tells of a device that a dialect hears itself.

    Attributes:
        units: unit by the name of the value it is of.
        lamp: it is a light.
        dimmable: and can be dimmed.
    """

    name: str = ""
    manufacturer: str = ""
    model: str = ""
    firmware: str = ""
    units: dict[str, str] = msgspec.field(default_factory=dict)
    lamp: bool = False
    dimmable: bool = False


@runtime_checkable
class Describable(Protocol):
    """A dialect whose devices are configured in Home Assistant's way as well: it hears them, the configuration describes."""

    def describe(self, device: str, description: Description, intake: Intake) -> None:
        """A device of this dialect is described by others; what it says of itself is worth more."""
        ...
