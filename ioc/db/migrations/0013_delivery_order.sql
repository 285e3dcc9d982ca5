-- Brokers that number their deliveries anew on every connection (RabbitMQ) are told from what they say again by its order: digests
-- of the messages that were committed, in the order in which the session handed them over, many in a row.
CREATE TABLE delivery_order (
    client  text NOT NULL,
    at      bigint NOT NULL,
    digests bytea NOT NULL,
    PRIMARY KEY (client, at)
);
ALTER TABLE delivery_order ALTER COLUMN digests SET STORAGE EXTERNAL;

-- connection: the last one that messages were committed of. ends: how many messages of the session were noted. place: which of them
-- the broker is expected to say again next; NULL = none, what comes now is new.
CREATE TABLE delivery_session (
    client     text PRIMARY KEY,
    connection bigint NOT NULL DEFAULT 0,
    ends       bigint NOT NULL DEFAULT 0,
    place      bigint
) WITH (fillfactor = 50);
