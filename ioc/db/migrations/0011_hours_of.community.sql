-- Hourly figures of a measure as on the Apache edition: hours whose beginning lies in [since, until), of each device or of all together
-- (device is NULL then). Plans are made anew each time, so that those chunks alone are opened that hold what is asked for.
CREATE FUNCTION hours_of(devices text[], measure text, since timestamptz, until timestamptz, apart boolean)
RETURNS TABLE (bucket timestamptz, device text, readings bigint, total double precision, "least" double precision,
               most double precision)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT h.bucket, CASE WHEN apart THEN h.device END, sum(h.readings)::bigint, sum(h.total), min(h.least), max(h.most)
        FROM rollup_hour h
        WHERE h.device = ANY ((SELECT devices)::text[]) AND h.measure = hours_of.measure
          AND h.bucket >= since AND h.bucket < until
        GROUP BY 1, 2;
END $$;
DROP VIEW reading_hour;
