-- The newest frame of each camera whose detections are stored. A frame that is not newer changes nothing, so counts stay exact when a
-- frame is looked at twice, by two workers or after a crash; also a frame without any detection, which leaves no row of its own.
CREATE TABLE camera_seen (
    camera text PRIMARY KEY,
    time   timestamptz NOT NULL
) WITH (fillfactor = 50);
