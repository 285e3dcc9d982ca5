-- What technicians say of payloads that no dialect knows (ioc.mapping), and the replay of what lies in quarantine.
CREATE TABLE mapping (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL,
    filter      text NOT NULL,
    device      text NOT NULL,
    kind        text NOT NULL,
    time_path   text NOT NULL,
    time_format text NOT NULL CHECK (time_format IN ('none', 'epoch_s', 'epoch_ms', 'iso', 'iso_local')),
    items       jsonb NOT NULL,
    enabled     boolean NOT NULL,
    -- Counted over all mappings, in the order of the commits (writers take a lock on the table): the greatest one tells of any change.
    version     bigint NOT NULL UNIQUE,
    who         text NOT NULL,
    changed     timestamptz NOT NULL
);

-- Every filter that a mapping ever had: a broker session outlives its process and must be told to forget those no longer wanted.
CREATE TABLE mapping_filter (filter text PRIMARY KEY);

-- Topic filters of the dialects that ingest was built with, written by ingest as it starts; a mapping may lie within or beside them.
CREATE TABLE dialect_filter (
    filter  text PRIMARY KEY,
    dialect text NOT NULL
);

-- replay: the replay that a message waits for. outcome: '' never replayed; refused again (reason and detail are those of then);
-- cut: it cannot be, because not all of it was kept.
ALTER TABLE quarantine ADD COLUMN replay bigint;
ALTER TABLE quarantine ADD COLUMN outcome text NOT NULL DEFAULT '' CHECK (outcome IN ('', 'replayed', 'refused', 'cut'));
ALTER TABLE quarantine ADD COLUMN settled timestamptz;
CREATE INDEX quarantine_waiting ON quarantine (replay, received, id) WHERE replay IS NOT NULL;
CREATE INDEX quarantine_reason ON quarantine (reason, received DESC, id DESC);
CREATE INDEX quarantine_place ON quarantine ((CASE WHEN client = '' THEN topic ELSE client END), received DESC, id DESC);

-- How many messages of a place (the device, or the topic where no device is known) lie in quarantine, hour by hour, so that a page
-- counts millions without reading them. Kept by whoever writes quarantine, in the same transaction.
CREATE TABLE quarantine_hour (
    bucket   timestamptz NOT NULL,
    place    text NOT NULL,
    dialect  text NOT NULL,
    reason   text NOT NULL,
    messages bigint NOT NULL,
    replayed bigint NOT NULL
);
SELECT create_hypertable('quarantine_hour', by_range('bucket', INTERVAL '1 day'), create_default_indexes => false);
CREATE UNIQUE INDEX quarantine_hour_key ON quarantine_hour (bucket, place, dialect, reason);
INSERT INTO quarantine_hour
    SELECT date_trunc('hour', received), CASE WHEN client = '' THEN topic ELSE client END, dialect, reason, count(*), 0
    FROM quarantine GROUP BY 1, 2, 3, 4;

-- One request to decode messages again; the messages that wait for it carry its number.
CREATE TABLE replay (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    who      text NOT NULL,
    asked    timestamptz NOT NULL,
    total    bigint NOT NULL,
    replayed bigint NOT NULL DEFAULT 0,
    refused  bigint NOT NULL DEFAULT 0,
    cut      bigint NOT NULL DEFAULT 0,
    stopped  bigint NOT NULL DEFAULT 0,
    ended    timestamptz
);
