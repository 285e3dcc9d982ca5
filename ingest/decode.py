"""Messages in, batches out: no message, whatever it holds, stops the others."""

from __future__ import annotations

import time

import structlog

from ingest.dialects.native import Native
from ingest.intake import Intake
from ingest.message import Block, Message
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
        """Decode every message of a block."""
        received, batch = block.received, self._intake.batch
        if batch.born is None:
            batch.born = time.monotonic()
        batch.size += block.size
        for topic, payload, mid, redelivered in block.messages:
            self.decode_one(Message(topic, payload, mid, redelivered, received))
        mids = [mid for _, _, mid, _ in block.messages if mid]
        if mids:
            batch.acks.setdefault(block.generation, []).extend(mids)

    def decode_one(self, message: Message) -> None:
        """Decode one message; what is wrong with it goes to quarantine."""
        intake, device = self._intake, ""
        intake.begin(message)
        try:
            route = self._native.route(message.topic)
            device = route.device
            self._check_size(message.payload)
            self._native.decode(route, message.payload, intake)
        except RejectedError as error:
            intake.fault(error)
        except Exception as error:  # noqa: BLE001 - a fault of ours in one message must not stop the others; it is kept and logged
            self._log.exception("decoder fault", topic=message.topic, error=repr(error))
            intake.fault(RejectedError("shape", f"the decoder failed: {error!r}"))
        if intake.is_faulty:
            intake.end(message.topic.decode("utf-8", "replace"), device, self._native.name)

    def _check_size(self, payload: bytes) -> None:
        if len(payload) > self._most_bytes:
            raise RejectedError("size", f"{len(payload)} bytes, most is {self._most_bytes}")
