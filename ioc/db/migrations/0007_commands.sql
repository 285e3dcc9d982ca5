-- What lamps were told, and what became of it. One command of a device is open at a time: a newer one ends it.
CREATE TABLE command (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device    text NOT NULL,
    level     double precision NOT NULL CHECK (level BETWEEN 0 AND 1),
    who       text NOT NULL,
    requested timestamptz NOT NULL,
    sent      timestamptz,
    answered  timestamptz,
    confirmed timestamptz,
    ended     timestamptz,
    state     text NOT NULL DEFAULT 'requested'
              CHECK (state IN ('requested', 'sent', 'accepted', 'confirmed', 'refused', 'expired', 'failed')),
    reason    text NOT NULL DEFAULT '',
    CHECK ((ended IS NULL) = (state IN ('requested', 'sent', 'accepted')))
);
CREATE UNIQUE INDEX command_open ON command (device) WHERE ended IS NULL;
CREATE INDEX command_device ON command (device, id DESC);

-- What people changed or ordered, in one chain. Its numbers have no gaps and follow the commits (`ioc.db.audit`), so a reader that
-- remembers the last one it saw misses nothing.
CREATE TABLE audit (
    seq      bigint PRIMARY KEY,
    time     timestamptz NOT NULL,
    who      text NOT NULL,
    what     text NOT NULL,
    subject  text NOT NULL,
    before   jsonb,
    after    jsonb,
    previous bytea NOT NULL,
    hash     bytea NOT NULL
);
CREATE INDEX audit_subject ON audit (subject, seq DESC);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit is append-only';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
