-- migrate:up

-- Whether a host was paused in a bucket, beside how much of it was measured: a gap then has its reason.
CREATE OR REPLACE VIEW coverage_tiers AS
SELECT 'raw'::text AS tier, time AS bucket, host_id, measured_ms::bigint AS measured_ms, paused FROM coverage
UNION ALL
SELECT '1m', bucket, host_id, measured_ms, paused FROM coverage_1m
UNION ALL
SELECT '1h', bucket, host_id, measured_ms, paused FROM coverage_1h
UNION ALL
SELECT '1d', bucket, host_id, measured_ms, paused FROM coverage_1d;

-- migrate:down
DROP VIEW coverage_tiers;
CREATE VIEW coverage_tiers AS
SELECT 'raw'::text AS tier, time AS bucket, host_id, measured_ms::bigint AS measured_ms FROM coverage
UNION ALL
SELECT '1m', bucket, host_id, measured_ms FROM coverage_1m
UNION ALL
SELECT '1h', bucket, host_id, measured_ms FROM coverage_1h
UNION ALL
SELECT '1d', bucket, host_id, measured_ms FROM coverage_1d;
