-- migrate:up

-- Coverage of every tier under one name, like flow_tiers. Measured milliseconds of a host in a bucket; raw's is its interval.
CREATE VIEW coverage_tiers AS
SELECT 'raw'::text AS tier, time AS bucket, host_id, measured_ms::bigint AS measured_ms FROM coverage
UNION ALL
SELECT '1m', bucket, host_id, measured_ms FROM coverage_1m
UNION ALL
SELECT '1h', bucket, host_id, measured_ms FROM coverage_1h
UNION ALL
SELECT '1d', bucket, host_id, measured_ms FROM coverage_1d;

-- migrate:down
DROP VIEW coverage_tiers;
