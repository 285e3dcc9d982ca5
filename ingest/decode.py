"""Messages in, batches out: no message, whatever it holds, stops the others."""

from __future__ import annotations

import structlog

from ingest.dialects.native import Native
from ingest.intake import Intake
from ingest.message import Block
from ioc.errors import RejectedError


class Decoder:
    """Decodes blocks into an intake's batch; one thread uses it.

    Args:
        intake: takes what is decoded.
        most_bytes: larger payloads go to quarantine unread.
    """

    def __init__(self, intake: Intake, *, most_bytes: int) -> None:
        self._intake = intake
        self._most_bytes = most_bytes
        self._native = Native()
        self._log = structlog.get_logger().bind(service="ingest")

    def decode(self, block: Block) -> None:
        """Decode every message of a block; what is wrong with one goes to quarantine."""
        intake, route, most_bytes = self._intake, self._native.route, self._most_bytes
        intake.open(block)
        for message in block.messages:
            topic, payload, _, _ = message
            device = ""
            intake.begin(message)
            try:
                device, handler = route(topic)
                if len(payload) > most_bytes:
                    raise RejectedError("size", f"{len(payload)} bytes, most is {most_bytes}")  # noqa: TRY301
                handler(device, payload, intake)
            except RejectedError as error:
                intake.fault(error)
            except Exception as error:  # noqa: BLE001 - a fault of ours in one message must not stop the others
                self._log.exception("decoder fault", topic=topic)
                intake.fault(RejectedError("shape", f"the decoder failed: {error!r}"))
            if intake.is_faulty:
                intake.end(topic.decode("utf-8", "replace"), device, self._native.name)
