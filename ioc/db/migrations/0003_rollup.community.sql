-- Hourly figures as a real-time continuous aggregate, read through the same view as on the Apache edition.
CREATE MATERIALIZED VIEW rollup_hour WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
    SELECT time_bucket('1 hour', time) AS bucket, device, measure,
           count(*) AS readings, sum(value) AS total, min(value) AS least, max(value) AS most
    FROM reading
    GROUP BY 1, 2, 3
    WITH NO DATA;
SELECT add_continuous_aggregate_policy('rollup_hour', start_offset => NULL, end_offset => INTERVAL '1 hour',
                                       schedule_interval => INTERVAL '5 minutes');
ALTER TABLE reading SET (timescaledb.compress, timescaledb.compress_segmentby = 'device, measure',
                         timescaledb.compress_orderby = 'time');
SELECT add_compression_policy('reading', INTERVAL '7 days');

CREATE VIEW reading_hour AS
    SELECT bucket, device, measure, readings, total, least, most FROM rollup_hour;
