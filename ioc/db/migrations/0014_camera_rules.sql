-- What people draw into a camera's picture (ioc.camera_rules).
CREATE TABLE camera_rule (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    camera   text NOT NULL,
    kind     text NOT NULL,
    name     text NOT NULL,
    points   jsonb NOT NULL,
    classes  jsonb NOT NULL,
    settings jsonb NOT NULL,
    version  bigint NOT NULL
);
CREATE INDEX camera_rule_camera ON camera_rule (camera);
-- One picture shows one ground.
CREATE UNIQUE INDEX camera_rule_ground ON camera_rule (camera) WHERE kind = 'ground';

-- What a rule counted in a minute, class by class, also of classes that were not there; added to with the frames that it was seen on.
-- Rows of rule 0 are of the camera as a whole, each object counted once whatever rules it meets; label '' is all classes.
--   watched_s  seconds between frames that were close enough for the rule to miss nothing: less than 60 tells a minute seen in part
--   forward    line: went over it from its left to its right. zone: came in. rule 0: went over its first line of the camera
--   back       line: went over it the other way. zone: went out
--   stays      zone: how many of those that went out were seen coming in, and stayed_s how long they were inside in all
--   seconds    zone: seconds spent inside by all objects. ground: by moving and standing vehicles. congestion: share covered x seconds
--   metres     ground: way of those vehicles
--   most       zone: objects inside at once
CREATE TABLE camera_flow (
    time      timestamptz NOT NULL,
    camera    text NOT NULL,
    rule      bigint NOT NULL,
    version   bigint NOT NULL,
    label     text NOT NULL,
    watched_s double precision NOT NULL,
    forward   integer NOT NULL,
    back      integer NOT NULL,
    stays     integer NOT NULL,
    stayed_s  double precision NOT NULL,
    seconds   double precision NOT NULL,
    metres    double precision NOT NULL,
    most      integer NOT NULL
);
SELECT create_hypertable('camera_flow', by_range('time', INTERVAL '30 days'), create_default_indexes => false);
CREATE UNIQUE INDEX camera_flow_key ON camera_flow (camera, time, rule, version, label);
