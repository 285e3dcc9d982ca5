"""Messages in, batches out: no message, whatever it holds, stops the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import structlog

from ingest.dialect import Dialect, Route
from ingest.intake import Intake, refuse_of_then
from ingest.message import Block
from ioc.errors import RejectedError

#: Topics remembered, so that each is parsed once; more than a city has, and a bound all the same.
_MOST_ROUTES: Final = 500_000
#: Bytes of a topic: what is remembered by its topic is found by an index, which holds no more than some 2,700.
_LONGEST_TOPIC: Final = 1000


class Decoder:
    """Decodes blocks into an intake's batch; one thread at a time uses it.

    Args:
        intake: takes what is decoded.
        dialects: asked in this order whose a topic is.
        most_bytes: larger payloads go to quarantine unread.
        ahead: called with a topic and its route, which it may replace, before the route is remembered.
        supplement: called with the topic when a message held values for which there is no measure, before they are refused.
    """

    def __init__(
        self,
        intake: Intake,
        dialects: Iterable[Dialect],
        *,
        most_bytes: int,
        ahead: Callable[[str, Route], Route] | None = None,
        supplement: Callable[[str, Intake], None] | None = None,
    ) -> None:
        self._intake = intake
        self._dialects = tuple(dialects)
        self._most_bytes = most_bytes
        self._ahead = ahead
        self._supplement = supplement
        self._routes: dict[bytes, Route] = {}
        self._log = structlog.get_logger().bind(service="ingest")

    def decode(self, block: Block) -> None:
        """Decode every message of a block; what is wrong with one goes to quarantine."""
        intake, routes, most_bytes = self._intake, self._routes, self._most_bytes
        for place, (topic, payload, _, _) in enumerate(block.messages, intake.open(block)):
            intake.origin = place
            route = routes.get(topic)
            try:
                if route is None:
                    route = self._route(topic)
                if len(payload) > most_bytes:
                    raise RejectedError("size", f"{len(payload)} bytes, most is {most_bytes}")  # noqa: TRY301
                if intake.replayed and route.of_now:
                    refuse_of_then()
                route[2](route[0], payload, intake)
            except RejectedError as error:
                intake.fault(error)
            except Exception as error:  # noqa: BLE001 - a fault of ours in one message must not stop the others
                self._log.exception("decoder fault", topic=topic)
                intake.fault(RejectedError("shape", f"the decoder failed: {error!r}"))
            if intake.noted:
                name = topic.decode("utf-8", "replace")
                if intake.has_unknown and self._supplement is not None:
                    try:
                        self._supplement(name, intake)
                    except Exception as error:  # noqa: BLE001 - as above
                        self._log.exception("mapping fault", topic=topic)
                        intake.fault(RejectedError("shape", f"the mapping failed: {error!r}"))
                device, dialect = ("", "") if route is None else route[:2]
                intake.end(name, device, dialect, too_large=len(payload) > most_bytes)

    def forget_routes(self) -> None:
        """Dialects take other topics than before."""
        self._routes.clear()

    def _route(self, raw: bytes) -> Route:
        """Where a topic goes.

        Raises:
            RejectedError: `encoding` or `topic`.
        """
        if len(raw) > _LONGEST_TOPIC:
            raise RejectedError("topic", f"topic of {len(raw)} bytes, most is {_LONGEST_TOPIC}")
        try:
            topic = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RejectedError("encoding", f"topic: {error}") from error
        if "\0" in topic:
            raise RejectedError("encoding", "topic: a NUL")
        for dialect in self._dialects:
            route = dialect.route(topic)
            if route is not None:
                if self._ahead is not None:
                    route = self._ahead(topic, route)
                if route.lasting:
                    if len(self._routes) >= _MOST_ROUTES:
                        self._routes.clear()
                    self._routes[raw] = route
                return route
        raise RejectedError("topic", f"topic {topic!r}: no dialect speaks on it")
