-- migrate:up

-- Order and width of what is compressed, chosen by measuring (docs/decisions/0015-columnstore.md); TimescaleDB's own
-- choice made an aggregate three times larger. No segments: a batch of a thousand rows then spans hosts and apps. By
-- bucket where ranges of time are asked for; days by domain, so that one domain of a year is in few batches.
-- All relations of a tier have chunks of one width, so that retention drops them at the same bounds.
ALTER TABLE flow SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '', timescaledb.orderby = 'time, domain_id, remote, host_id');
ALTER TABLE tally SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '', timescaledb.orderby = 'host_id, interface, cause, time');
ALTER TABLE coverage SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '', timescaledb.orderby = 'host_id, time');
ALTER TABLE tab_activity SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '', timescaledb.orderby = 'host_id, site_id, time');

ALTER MATERIALIZED VIEW flow_1m SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '',
    timescaledb.orderby = 'bucket, domain_id, app_id, host_id');
ALTER MATERIALIZED VIEW coverage_1m SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '',
    timescaledb.orderby = 'host_id, bucket');
ALTER MATERIALIZED VIEW tally_1m SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '',
    timescaledb.orderby = 'host_id, interface, cause, bucket');
ALTER MATERIALIZED VIEW tab_activity_1m SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '',
    timescaledb.orderby = 'host_id, site_id, bucket');
SELECT set_chunk_time_interval('flow_1m', INTERVAL '1 day');
SELECT set_chunk_time_interval('coverage_1m', INTERVAL '1 day');
SELECT set_chunk_time_interval('tally_1m', INTERVAL '1 day');
SELECT set_chunk_time_interval('tab_activity_1m', INTERVAL '1 day');

ALTER MATERIALIZED VIEW flow_1h SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '',
    timescaledb.orderby = 'bucket, domain_id, app_id, host_id');
ALTER MATERIALIZED VIEW traffic_1h SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '',
    timescaledb.orderby = 'app_id, host_id, bucket');
ALTER MATERIALIZED VIEW coverage_1h SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '',
    timescaledb.orderby = 'host_id, bucket');
ALTER MATERIALIZED VIEW tally_1h SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '',
    timescaledb.orderby = 'host_id, interface, cause, bucket');
ALTER MATERIALIZED VIEW tab_activity_1h SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '',
    timescaledb.orderby = 'host_id, site_id, bucket');
SELECT set_chunk_time_interval('flow_1h', INTERVAL '14 days');
SELECT set_chunk_time_interval('traffic_1h', INTERVAL '14 days');
SELECT set_chunk_time_interval('coverage_1h', INTERVAL '14 days');
SELECT set_chunk_time_interval('tally_1h', INTERVAL '14 days');
SELECT set_chunk_time_interval('tab_activity_1h', INTERVAL '14 days');

ALTER MATERIALIZED VIEW flow_1d SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '',
    timescaledb.orderby = 'domain_id, app_id, host_id, bucket');
ALTER MATERIALIZED VIEW traffic_1d SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '',
    timescaledb.orderby = 'app_id, host_id, bucket');
ALTER MATERIALIZED VIEW coverage_1d SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '',
    timescaledb.orderby = 'host_id, bucket');
ALTER MATERIALIZED VIEW tally_1d SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '',
    timescaledb.orderby = 'host_id, interface, cause, bucket');
ALTER MATERIALIZED VIEW tab_activity_1d SET (timescaledb.enable_columnstore = true, timescaledb.segmentby = '',
    timescaledb.orderby = 'host_id, site_id, bucket');
SELECT set_chunk_time_interval('flow_1d', INTERVAL '180 days');
SELECT set_chunk_time_interval('traffic_1d', INTERVAL '180 days');
SELECT set_chunk_time_interval('coverage_1d', INTERVAL '180 days');
SELECT set_chunk_time_interval('tally_1d', INTERVAL '180 days');
SELECT set_chunk_time_interval('tab_activity_1d', INTERVAL '180 days');

-- migrate:down
DO $$ BEGIN
    RAISE EXCEPTION 'the rollups hold history that raw no longer has; going back would lose it: restore a backup instead';
END $$;
