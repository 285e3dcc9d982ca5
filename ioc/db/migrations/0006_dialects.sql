-- Events that devices tell of: single happenings beside measures and states. The key tells a redelivery from a second happening.
CREATE TABLE event (
    time     timestamptz NOT NULL,
    device   text NOT NULL,
    kind     text NOT NULL,
    source   text NOT NULL,
    data     jsonb NOT NULL,
    received timestamptz NOT NULL
);
SELECT create_hypertable('event', by_range('time', INTERVAL '7 days'), create_default_indexes => false);
CREATE UNIQUE INDEX event_key ON event (device, time, kind, source);

-- The newest message of each topic that a dialect needs to understand later ones: a discovery configuration, a birth certificate.
CREATE TABLE dialect_context (
    topic    text PRIMARY KEY,
    payload  bytea NOT NULL,
    received timestamptz NOT NULL
);

-- Deliveries that were committed of messages that have no identity of their own (no device time, or no record at all): the broker
-- repeats packet id and content when it delivers one again, and uses the packet id for another message only after our acknowledgement.
CREATE TABLE delivery (
    client text NOT NULL,
    mid    bigint NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (client, mid)
) WITH (fillfactor = 50);

-- A wrong clock may repeat its times: after each boot, or always. Only the same value again, soon, is the same reading.
ALTER TABLE reading_clock_off ADD COLUMN value double precision;

-- What was delivered again is told by its delivery now, not by its content.
DROP INDEX quarantine_digest;
ALTER TABLE quarantine DROP COLUMN digest;
