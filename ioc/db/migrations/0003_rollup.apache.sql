-- Hourly figures kept by our own job (ioc.db.upkeep), read through the view reading_hour, exact at every moment:
-- finished hours from the table, the rest and the hours with late data from the readings themselves.
CREATE TABLE rollup_hour (
    bucket   timestamptz NOT NULL,
    device   text NOT NULL,
    measure  text NOT NULL,
    readings bigint NOT NULL,
    total    double precision NOT NULL,
    least    double precision NOT NULL,
    most     double precision NOT NULL
);
SELECT create_hypertable('rollup_hour', by_range('bucket', INTERVAL '30 days'), create_default_indexes => false);
CREATE UNIQUE INDEX rollup_hour_key ON rollup_hour (device, measure, bucket);

CREATE TABLE rollup_state (
    single    boolean PRIMARY KEY DEFAULT true CHECK (single),
    watermark timestamptz NOT NULL
);
INSERT INTO rollup_state (watermark) VALUES ('2000-01-01 00:00:00+00');

-- Hours below the watermark that received late data. A writer takes rollup_state FOR SHARE before it looks at the watermark, so the
-- watermark cannot pass it; it marks hours in order, with ON CONFLICT DO UPDATE, so that it holds the mark until its commit and the
-- job that takes the mark away sees its readings.
CREATE TABLE rollup_dirty (bucket timestamptz PRIMARY KEY);

CREATE VIEW reading_hour AS
    SELECT bucket, device, measure, readings, total, least, most
    FROM rollup_hour
    WHERE bucket < (SELECT watermark FROM rollup_state)
      AND NOT EXISTS (SELECT FROM rollup_dirty d WHERE d.bucket = rollup_hour.bucket)
    UNION ALL
    SELECT time_bucket('1 hour', time), device, measure, count(*), sum(value), min(value), max(value)
    FROM reading
    WHERE time >= (SELECT watermark FROM rollup_state)
    GROUP BY 1, 2, 3
    UNION ALL
    SELECT d.bucket, r.device, r.measure, count(*), sum(value), min(value), max(value)
    FROM rollup_dirty d JOIN reading r ON r.time >= d.bucket AND r.time < d.bucket + INTERVAL '1 hour'
    WHERE d.bucket < (SELECT watermark FROM rollup_state)
    GROUP BY 1, 2, 3;
