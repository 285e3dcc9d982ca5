-- Alarms, incidents and their append-only log; commands and the audit log are plain tables too.
CREATE TABLE incident (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cause    text NOT NULL,
    ward     text NOT NULL,
    priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 3),
    state    text NOT NULL CHECK (state IN ('open', 'acknowledged', 'cleared', 'closed')),
    opened   timestamptz NOT NULL,
    changed  timestamptz NOT NULL,
    closed   timestamptz
);
CREATE INDEX incident_open ON incident (cause, ward) WHERE state <> 'closed';
CREATE INDEX incident_opened ON incident (opened DESC);

CREATE TABLE alarm (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule            text NOT NULL,
    device          text NOT NULL,
    measure         text NOT NULL,
    ward            text NOT NULL,
    cause           text NOT NULL,
    priority        smallint NOT NULL CHECK (priority BETWEEN 1 AND 3),
    state           text NOT NULL CHECK (state IN ('unacknowledged', 'acknowledged', 'returned_unacknowledged',
                                                   'normal', 'shelved', 'suppressed')),
    value           double precision,
    "limit"         double precision,
    opened          timestamptz NOT NULL,
    changed         timestamptz NOT NULL,
    returned        timestamptz,
    acknowledged    timestamptz,
    acknowledged_by text NOT NULL DEFAULT '',
    shelved_until   timestamptz,
    shelve_reason   text NOT NULL DEFAULT '',
    incident        bigint NOT NULL REFERENCES incident (id)
);
-- One occurrence of a rule on a device is alive at a time, whatever process dies.
CREATE UNIQUE INDEX alarm_alive ON alarm (rule, device) WHERE state <> 'normal';
CREATE INDEX alarm_incident ON alarm (incident);
CREATE INDEX alarm_opened ON alarm (opened DESC);

CREATE TABLE incident_log (
    incident bigint NOT NULL REFERENCES incident (id),
    seq      integer NOT NULL,
    time     timestamptz NOT NULL,
    kind     text NOT NULL,
    who      text NOT NULL,
    text     text NOT NULL,
    details  jsonb NOT NULL DEFAULT '{}',
    previous bytea NOT NULL,
    hash     bytea NOT NULL,
    PRIMARY KEY (incident, seq)
);

CREATE FUNCTION incident_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'incident_log is append-only';
END $$;
CREATE TRIGGER incident_log_append_only BEFORE UPDATE OR DELETE ON incident_log
    FOR EACH ROW EXECUTE FUNCTION incident_log_is_append_only();
CREATE TRIGGER incident_log_no_truncate BEFORE TRUNCATE ON incident_log
    FOR EACH STATEMENT EXECUTE FUNCTION incident_log_is_append_only();
