-- Hourly figures of a measure, in place of the view: hours whose beginning lies in [since, until), of each device or of all together
-- (device is NULL then). A view over all readings makes the planner open every chunk there is, because it cannot know the watermark;
-- here the ends are constants of plans that are made anew each time, so that those chunks alone are opened that hold what is
-- asked for. The names are kept from the planner by a SELECT: it would look each of them up in the statistics of every chunk.
--
-- Finished hours come from the table; hours with late data and those after the watermark from the readings, one span of adjacent hours
-- after the other. STABLE: everything is read as of the one snapshot of the query that calls, so the figures are exact at every moment.
CREATE FUNCTION hours_of(devices text[], measure text, since timestamptz, until timestamptz, apart boolean)
RETURNS TABLE (bucket timestamptz, device text, readings bigint, total double precision, "least" double precision,
               most double precision)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
    finished CONSTANT timestamptz := (SELECT watermark FROM rollup_state);
    rolled   CONSTANT timestamptz := least(until, finished);
    late     CONSTANT timestamptz[] := ARRAY(SELECT d.bucket FROM rollup_dirty d WHERE d.bucket >= since AND d.bucket < rolled);
    -- The first hours that begin at either end or after it.
    head     CONSTANT timestamptz := time_bucket('1 hour', greatest(since, finished) + INTERVAL '1 hour' - INTERVAL '1 microsecond');
    tail     CONSTANT timestamptz := time_bucket('1 hour', until + INTERVAL '1 hour' - INTERVAL '1 microsecond');
    span     record;
BEGIN
    IF since < rolled THEN
        RETURN QUERY
            SELECT h.bucket, CASE WHEN apart THEN h.device END, sum(h.readings)::bigint, sum(h.total), min(h.least), max(h.most)
            FROM rollup_hour h
            WHERE h.device = ANY ((SELECT devices)::text[]) AND h.measure = hours_of.measure
              AND h.bucket >= since AND h.bucket < rolled AND h.bucket <> ALL (late)
            GROUP BY 1, 2;
    END IF;
    FOR span IN
        SELECT min(hour) AS begins, max(hour) + INTERVAL '1 hour' AS ends
        FROM (SELECT hour, hour - row_number() OVER (ORDER BY hour) * INTERVAL '1 hour' AS run FROM unnest(late) AS hour) AS hours
        GROUP BY run
        UNION ALL
        SELECT head, tail WHERE head < tail
    LOOP
        RETURN QUERY
            SELECT time_bucket('1 hour', r.time), CASE WHEN apart THEN r.device END, count(*), sum(r.value), min(r.value), max(r.value)
            FROM reading r
            WHERE r.device = ANY ((SELECT devices)::text[]) AND r.measure = hours_of.measure
              AND r.time >= span.begins AND r.time < span.ends
            GROUP BY 1, 2;
    END LOOP;
END $$;
DROP VIEW reading_hour;

-- Figures are read from the index alone once vacuum has seen their pages: after every few hours' figures, not a fifth of a month's.
ALTER TABLE rollup_hour SET (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000);
