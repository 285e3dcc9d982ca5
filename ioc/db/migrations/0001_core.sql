-- Devices, readings, states, detections, counts, quarantine.
CREATE EXTENSION IF NOT EXISTS timescaledb;

CREATE TABLE device (
    id           text PRIMARY KEY,
    kind         text NOT NULL,
    name         text NOT NULL,
    lat          double precision,
    lon          double precision,
    ward         text NOT NULL DEFAULT '',
    parent       text NOT NULL DEFAULT '',
    dialect      text NOT NULL DEFAULT 'native',
    firmware     text NOT NULL DEFAULT '',
    attrs        jsonb NOT NULL DEFAULT '{}',
    status       text NOT NULL DEFAULT 'active' CHECK (status IN ('new', 'active', 'maintenance', 'retired')),
    state        text NOT NULL DEFAULT 'unknown' CHECK (state IN ('online', 'offline', 'maintenance', 'unknown')),
    state_time   timestamptz,
    state_reason text NOT NULL DEFAULT '',
    first_seen   timestamptz NOT NULL DEFAULT now(),
    last_seen    timestamptz,
    clock_skew_s double precision
);
CREATE INDEX device_parent ON device (parent) WHERE parent <> '';

CREATE TABLE reading (
    time     timestamptz NOT NULL,
    device   text NOT NULL,
    measure  text NOT NULL,
    value    double precision NOT NULL,
    quality  smallint NOT NULL,
    received timestamptz NOT NULL
);
SELECT create_hypertable('reading', by_range('time', INTERVAL '1 day'), create_default_indexes => false);
-- The one key: a redelivered message changes nothing.
CREATE UNIQUE INDEX reading_key ON reading (device, measure, time);

-- The device's own time of a reading stored at its receive time, so that a redelivery of it changes nothing either.
CREATE TABLE reading_clock_off (
    device      text NOT NULL,
    measure     text NOT NULL,
    device_time timestamptz NOT NULL,
    time        timestamptz NOT NULL,
    PRIMARY KEY (device, measure, device_time)
);

CREATE TABLE latest (
    device   text NOT NULL,
    measure  text NOT NULL,
    time     timestamptz NOT NULL,
    value    double precision NOT NULL,
    quality  smallint NOT NULL,
    received timestamptz NOT NULL,
    PRIMARY KEY (device, measure)
) WITH (fillfactor = 70);

CREATE TABLE device_state (
    time     timestamptz NOT NULL,
    device   text NOT NULL,
    state    text NOT NULL,
    reason   text NOT NULL,
    received timestamptz NOT NULL
);
SELECT create_hypertable('device_state', by_range('time', INTERVAL '7 days'), create_default_indexes => false);
CREATE UNIQUE INDEX device_state_key ON device_state (device, time, state);

CREATE TABLE detection (
    time       timestamptz NOT NULL,
    camera     text NOT NULL,
    seq        smallint NOT NULL,
    label      text NOT NULL,
    confidence real NOT NULL,
    x1         real NOT NULL,
    y1         real NOT NULL,
    x2         real NOT NULL,
    y2         real NOT NULL
);
SELECT create_hypertable('detection', by_range('time', INTERVAL '1 day'), create_default_indexes => false);
CREATE UNIQUE INDEX detection_key ON detection (camera, time, seq);

CREATE TABLE camera_count (
    time    timestamptz NOT NULL,
    camera  text NOT NULL,
    label   text NOT NULL,
    frames  integer NOT NULL,
    objects integer NOT NULL,
    most    integer NOT NULL
);
SELECT create_hypertable('camera_count', by_range('time', INTERVAL '30 days'), create_default_indexes => false);
CREATE UNIQUE INDEX camera_count_key ON camera_count (camera, label, time);

CREATE TABLE quarantine (
    received timestamptz NOT NULL,
    id       bigint GENERATED ALWAYS AS IDENTITY,
    topic    text NOT NULL,
    client   text NOT NULL,
    dialect  text NOT NULL,
    reason   text NOT NULL,
    detail   text NOT NULL,
    payload  bytea NOT NULL,
    size     integer NOT NULL,
    digest   bytea NOT NULL
);
SELECT create_hypertable('quarantine', by_range('received', INTERVAL '1 day'), create_default_indexes => false);
CREATE UNIQUE INDEX quarantine_key ON quarantine (received, id);
CREATE INDEX quarantine_digest ON quarantine (digest, received DESC);
