-- The pictures that prove alarms: faces and number plates are blurred before they come here.
CREATE TABLE evidence_picture (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    camera  text NOT NULL,
    measure text NOT NULL,
    time    timestamptz NOT NULL,
    kept    timestamptz NOT NULL DEFAULT now(),
    rule    text NOT NULL,
    width   integer NOT NULL CHECK (width > 0),
    height  integer NOT NULL CHECK (height > 0),
    boxes   jsonb NOT NULL,
    jpeg    bytea NOT NULL CHECK (octet_length(jpeg) <= 393216),
    UNIQUE (camera, measure, time)
);
-- A JPEG does not get smaller.
ALTER TABLE evidence_picture ALTER COLUMN jpeg SET STORAGE EXTERNAL;
CREATE INDEX evidence_picture_kept ON evidence_picture (kept);

-- The picture as it was, sealed under a data key of its own; the data key is wrapped by the master key, which is not in here.
-- Without its data key an original cannot be opened by anybody ever again.
CREATE TABLE evidence_original (
    picture   bigint PRIMARY KEY REFERENCES evidence_picture (id) ON DELETE CASCADE,
    master    text NOT NULL,
    wrapped   bytea,
    sealed    bytea CHECK (octet_length(sealed) <= 4194304),
    destroyed timestamptz,
    CHECK ((wrapped IS NULL) = (destroyed IS NOT NULL) AND (sealed IS NULL) = (destroyed IS NOT NULL))
);
ALTER TABLE evidence_original ALTER COLUMN sealed SET STORAGE EXTERNAL;

CREATE INDEX alarm_device ON alarm (device, rule, id);

-- Which alarm a picture proves: of each rule the first one of its camera and measure that was not over when it was kept. An alarm
-- opens after its picture was kept, by no more than its rule's delay. Both times are the server's side's, not the camera's.
CREATE VIEW evidence_of_alarm AS
    SELECT a.id AS alarm, a.incident, p.id AS picture
    FROM alarm a JOIN evidence_picture p ON p.camera = a.device AND p.measure = a.measure
        AND p.kept BETWEEN a.opened - INTERVAL '10 minutes' AND coalesce(a.returned, 'infinity')
    WHERE NOT EXISTS (SELECT FROM alarm b WHERE b.rule = a.rule AND b.device = a.device AND b.id < a.id
        AND b.returned >= p.kept);
