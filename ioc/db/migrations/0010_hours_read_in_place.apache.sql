-- A month of one series is 720 hourly figures that were written in 720 transactions, each on a page of its own. With the figures in
-- the key's index, where they lie side by side, reading them takes a dozen pages.
DROP INDEX rollup_hour_key;
CREATE UNIQUE INDEX rollup_hour_key ON rollup_hour (device, measure, bucket) INCLUDE (readings, total, least, most);

-- The same rows as before. Hours with late data are looked up one by one, so that each reads its own hour of its own chunk: the join
-- they were in read the series from its beginning. They are grouped by the hour first, or the planner would merge all chunks
-- in the order of their keys, and leave none out. Whether an hour has late data is told from a list made once.
CREATE OR REPLACE VIEW reading_hour AS
    SELECT bucket, device, measure, readings, total, least, most
    FROM rollup_hour
    WHERE bucket < (SELECT watermark FROM rollup_state)
      AND bucket <> ALL (ARRAY(SELECT bucket FROM rollup_dirty))
    UNION ALL
    SELECT time_bucket('1 hour', time), device, measure, count(*), sum(value), min(value), max(value)
    FROM reading
    WHERE time >= (SELECT watermark FROM rollup_state)
    GROUP BY 1, 2, 3
    UNION ALL
    SELECT d.bucket, r.device, r.measure, r.readings, r.total, r.least, r.most
    FROM rollup_dirty d CROSS JOIN LATERAL (
        SELECT device, measure, count(*) AS readings, sum(value) AS total, min(value) AS least, max(value) AS most
        FROM reading
        WHERE time >= d.bucket AND time < d.bucket + INTERVAL '1 hour'
        GROUP BY time_bucket('1 hour', time), device, measure
    ) AS r
    WHERE d.bucket < (SELECT watermark FROM rollup_state);
