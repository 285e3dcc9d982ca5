"""Prometheus figures of ingest; counted once a block or a batch, never once a message."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_FAST: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)

RECEIVED: Final = Counter("ioc_ingest_messages_total", "MQTT messages received, redeliveries included.")
RETAINED: Final = Counter(
    "ioc_ingest_retained_total", "Retained messages passed over, which MQTT 3.1.1 brokers repeat at every subscription."
)
STORED: Final = Counter("ioc_ingest_readings_total", "Readings stored.")
DUPLICATES: Final = Counter("ioc_ingest_duplicates_total", "Readings that were stored already.")
QUARANTINED: Final = Counter("ioc_ingest_quarantined_total", "Messages sent to quarantine.", ["reason"])
COMMITS: Final = Histogram("ioc_ingest_commit_seconds", "Time one batch takes in the database.", buckets=_FAST)
LATENCY: Final = Histogram(
    "ioc_ingest_latency_seconds",
    "From a reading's own time to its commit, of readings less than a minute old.",
    buckets=_FAST,
)
RETRIES: Final = Counter("ioc_ingest_retries_total", "Batches tried again because the database was away or busy.")
RECONNECTS: Final = Counter("ioc_ingest_reconnects_total", "Lost connections to the broker.")
FRAMES: Final = Counter("ioc_ingest_frames_total", "Camera pictures handed to the live view.")
SPOOLED: Final = Counter("ioc_ingest_spooled_total", "Messages written to the spool on disk.")
SPOOL_BYTES: Final = Gauge("ioc_ingest_spool_bytes", "Size of the spool on disk.")
NOT_SPOOLED: Final = Counter("ioc_ingest_not_spooled_total", "QoS 0 messages dropped while others were spooled.")
BROKER_DROPPED: Final = Gauge(
    "ioc_broker_dropped_messages", "Messages the broker has dropped since it started, NaN where it does not tell."
)
QUEUE: Final = Gauge("ioc_ingest_queue_messages", "Messages read from the broker and not yet committed.")
