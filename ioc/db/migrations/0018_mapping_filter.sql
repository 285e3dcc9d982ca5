-- What a broker session may hold is noted where the session's process runs, with the share of each filter (ingest.session).
DROP TABLE mapping_filter;
