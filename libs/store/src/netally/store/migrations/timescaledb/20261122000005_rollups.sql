-- migrate:up

-- Totals of an application without its domains, for long ranges. From the flow of the same tier, so that they can
-- always be made again.
CREATE MATERIALIZED VIEW traffic_1h
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
SELECT time_bucket('1 hour', bucket) AS bucket, host_id, app_id, scope, role,
       sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
       sum(packets_in)::bigint AS packets_in, sum(packets_out)::bigint AS packets_out,
       sum(retrans)::bigint AS retrans, sum(connections)::bigint AS connections, max(last_used) AS last_used
FROM flow_1h
GROUP BY 1, 2, 3, 4, 5
WITH NO DATA;

CREATE MATERIALIZED VIEW traffic_1d
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
SELECT time_bucket('1 day', bucket, '{{timezone}}') AS bucket, host_id, app_id, scope, role,
       sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
       sum(packets_in)::bigint AS packets_in, sum(packets_out)::bigint AS packets_out,
       sum(retrans)::bigint AS retrans, sum(connections)::bigint AS connections, max(last_used) AS last_used
FROM flow_1d
GROUP BY 1, 2, 3, 4, 5
WITH NO DATA;

-- Coverage outlives raw, so that a gap is told from a zero at every tier: a bucket in which a host has no row, or
-- measured_ms is 0, is a gap. The share measured is measured_ms over the length of the bucket.
CREATE MATERIALIZED VIEW coverage_1m
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
SELECT time_bucket('1 minute', time) AS bucket, host_id, sum(interval_seconds)::bigint AS interval_seconds,
       sum(measured_ms)::bigint AS measured_ms, max(mode) AS mode, bool_or(paused) AS paused
FROM coverage
GROUP BY 1, 2
WITH NO DATA;

CREATE MATERIALIZED VIEW coverage_1h
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
SELECT time_bucket('1 hour', bucket) AS bucket, host_id, sum(interval_seconds)::bigint AS interval_seconds,
       sum(measured_ms)::bigint AS measured_ms, max(mode) AS mode, bool_or(paused) AS paused
FROM coverage_1m
GROUP BY 1, 2
WITH NO DATA;

CREATE MATERIALIZED VIEW coverage_1d
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
SELECT time_bucket('1 day', bucket, '{{timezone}}') AS bucket, host_id,
       sum(interval_seconds)::bigint AS interval_seconds,
       sum(measured_ms)::bigint AS measured_ms, max(mode) AS mode, bool_or(paused) AS paused
FROM coverage_1h
GROUP BY 1, 2
WITH NO DATA;

-- The causes of an interface's bytes, so that long ranges can be shown to add up as well.
CREATE MATERIALIZED VIEW tally_1m
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
SELECT time_bucket('1 minute', time) AS bucket, host_id, interface, cause,
       sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
       sum(packets_in)::bigint AS packets_in, sum(packets_out)::bigint AS packets_out
FROM tally
GROUP BY 1, 2, 3, 4
WITH NO DATA;

CREATE MATERIALIZED VIEW tally_1h
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
SELECT time_bucket('1 hour', bucket) AS bucket, host_id, interface, cause,
       sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
       sum(packets_in)::bigint AS packets_in, sum(packets_out)::bigint AS packets_out
FROM tally_1m
GROUP BY 1, 2, 3, 4
WITH NO DATA;

CREATE MATERIALIZED VIEW tally_1d
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
SELECT time_bucket('1 day', bucket, '{{timezone}}') AS bucket, host_id, interface, cause,
       sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
       sum(packets_in)::bigint AS packets_in, sum(packets_out)::bigint AS packets_out
FROM tally_1h
GROUP BY 1, 2, 3, 4
WITH NO DATA;

-- Time spent on a site in a browser.
CREATE MATERIALIZED VIEW tab_activity_1m
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
SELECT time_bucket('1 minute', time) AS bucket, host_id, browser, site_id, sum(seconds)::bigint AS seconds
FROM tab_activity
GROUP BY 1, 2, 3, 4
WITH NO DATA;

CREATE MATERIALIZED VIEW tab_activity_1h
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
SELECT time_bucket('1 hour', bucket) AS bucket, host_id, browser, site_id, sum(seconds)::bigint AS seconds
FROM tab_activity_1m
GROUP BY 1, 2, 3, 4
WITH NO DATA;

CREATE MATERIALIZED VIEW tab_activity_1d
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
SELECT time_bucket('1 day', bucket, '{{timezone}}') AS bucket, host_id, browser, site_id, sum(seconds)::bigint AS seconds
FROM tab_activity_1h
GROUP BY 1, 2, 3, 4
WITH NO DATA;

-- What is stored in parts that are dropped as a whole: the chunks of the hypertables and of what the continuous
-- aggregates have stored.
CREATE VIEW tier_part AS
SELECT CASE WHEN cagg.view_name IS NULL THEN 'raw' ELSE right(cagg.view_name::text, 2) END AS tier,
       coalesce(cagg.view_name, chunks.hypertable_name)::text AS relation,
       format('%I.%I', chunks.chunk_schema, chunks.chunk_name)::regclass AS part,
       chunks.range_start AS lower, chunks.range_end AS upper, chunks.is_compressed,
       -- Bit 3: rows came after it was compressed.
       (catalog.status & 8) <> 0 AS is_partial,
       pg_total_relation_size(format('%I.%I', chunks.chunk_schema, chunks.chunk_name)::regclass)
       + CASE WHEN packed.id IS NULL THEN 0
              ELSE pg_total_relation_size(format('%I.%I', packed.schema_name, packed.table_name)::regclass) END AS bytes
FROM timescaledb_information.chunks
JOIN _timescaledb_catalog.chunk AS catalog
     ON catalog.schema_name = chunks.chunk_schema AND catalog.table_name = chunks.chunk_name
LEFT JOIN _timescaledb_catalog.chunk AS packed ON packed.id = catalog.compressed_chunk_id
LEFT JOIN timescaledb_information.continuous_aggregates AS cagg
     ON cagg.materialization_hypertable_schema = chunks.hypertable_schema
    AND cagg.materialization_hypertable_name = chunks.hypertable_name;

-- Bytes on disk of each tier, indexes included, and its rows as the planner knows them.
CREATE VIEW tier_size AS
SELECT tier, sum(bytes)::bigint AS bytes, sum(approximate_row_count(part))::bigint AS rows
FROM tier_part
GROUP BY tier;

-- Where the data of a tier begins.
CREATE FUNCTION tier_oldest_part(wanted text) RETURNS timestamptz LANGUAGE sql STABLE
RETURN (SELECT min(lower) FROM tier_part WHERE tier = wanted);

-- Up to where a tier can be dropped when all before a time may go, null for nothing, and the bytes that this frees.
CREATE FUNCTION tier_droppable(wanted text, before timestamptz, OUT bound timestamptz, OUT bytes bigint)
LANGUAGE sql STABLE AS $$
    SELECT max(upper), sum(tier_part.bytes)::bigint FROM tier_part WHERE tier = wanted AND upper <= before
$$;

CREATE FUNCTION drop_tier(wanted text, before timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    relation  text;
BEGIN
    FOREACH relation IN ARRAY tier_relations(wanted) LOOP
        PERFORM drop_chunks(relation::regclass, older_than => before);
    END LOOP;
END
$$;

-- Removes the rows of one host, app or domain from every relation, in one transaction; tells how many went.
-- A domain is also the site that caused a flow: such flows stay, without the site.
CREATE FUNCTION purge_rows(dimension text, gone integer) RETURNS TABLE (relation text, rows bigint) LANGUAGE plpgsql AS $$
DECLARE
    target  regclass;
    wanted  text;
BEGIN
    -- Rows in the columnstore are unpacked to be removed; the limit on that is lifted in this transaction only.
    PERFORM set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true);
    FOR relation, target IN
        SELECT raw.name, raw.name::regclass
        FROM unnest(ARRAY['flow', 'tally', 'coverage', 'tab_activity']) AS raw (name)
        UNION ALL
        SELECT view_name::text,
               format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name)::regclass
        FROM timescaledb_information.continuous_aggregates
    LOOP
        wanted := dimension || '_id';
        IF dimension = 'domain' AND relation LIKE 'tab_activity%' THEN
            wanted := 'site_id';
        ELSIF dimension = 'domain' AND relation LIKE 'flow%' THEN
            EXECUTE format('UPDATE %s SET site_id = 0 WHERE site_id = $1', target) USING gone;
        END IF;
        rows := 0;
        IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = target AND attname = wanted AND NOT attisdropped) THEN
            EXECUTE format('DELETE FROM %s WHERE %I = $1', target, wanted) USING gone;
            GET DIAGNOSTICS rows = ROW_COUNT;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

-- migrate:down
DROP FUNCTION purge_rows, drop_tier, tier_droppable, tier_oldest_part;
DROP VIEW tier_size, tier_part;
DROP MATERIALIZED VIEW tab_activity_1d;
DROP MATERIALIZED VIEW tab_activity_1h;
DROP MATERIALIZED VIEW tab_activity_1m;
DROP MATERIALIZED VIEW tally_1d;
DROP MATERIALIZED VIEW tally_1h;
DROP MATERIALIZED VIEW tally_1m;
DROP MATERIALIZED VIEW coverage_1d;
DROP MATERIALIZED VIEW coverage_1h;
DROP MATERIALIZED VIEW coverage_1m;
DROP MATERIALIZED VIEW traffic_1d;
DROP MATERIALIZED VIEW traffic_1h;
