-- migrate:up

-- What TimescaleDB calls a continuous aggregate, by hand. For a tier X:
--   X_rollup  the stored buckets, those below the tier's watermark
--   X_of      the same rows computed from the tier below, for any range of buckets
--   X         both together: stored below the watermark, computed above it; nothing is ever stored above it, so that the
--             planner need not be told, and can use what it knows of the stored rows
-- A refresh replaces buckets of X_rollup by X_of of them. The functions are inlined by the planner: one SELECT, stable,
-- and marked as safe, for otherwise no query of the views would be run in parallel.

CREATE TABLE flow_1m_rollup (
    bucket       timestamptz NOT NULL,
    host_id      integer NOT NULL,
    app_id       integer NOT NULL,
    domain_id    integer NOT NULL,
    site_id      integer NOT NULL,
    scope        smallint NOT NULL,
    role         smallint NOT NULL,
    protocol     smallint NOT NULL,
    port_class   integer NOT NULL,
    bytes_in     bigint NOT NULL,
    bytes_out    bigint NOT NULL,
    packets_in   bigint NOT NULL,
    packets_out  bigint NOT NULL,
    retrans      bigint,
    connections  bigint NOT NULL,
    last_used    timestamptz NOT NULL
);
CREATE TABLE flow_1h_rollup (LIKE flow_1m_rollup INCLUDING ALL);
CREATE TABLE flow_1d_rollup (LIKE flow_1m_rollup INCLUDING ALL);
CREATE INDEX flow_1m_rollup_bucket ON flow_1m_rollup (bucket);
CREATE INDEX flow_1h_rollup_bucket ON flow_1h_rollup (bucket);
CREATE INDEX flow_1d_rollup_bucket ON flow_1d_rollup (bucket);
CREATE INDEX flow_1h_rollup_domain ON flow_1h_rollup (domain_id, bucket);
CREATE INDEX flow_1d_rollup_domain ON flow_1d_rollup (domain_id, bucket);

CREATE FUNCTION flow_1m_of(lower timestamptz, upper timestamptz) RETURNS SETOF flow_1m_rollup
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT date_bin(interval '1 minute', time, timestamptz '2000-01-01 00:00:00+00'), host_id, app_id, domain_id,
           site_id, scope, role, protocol, port_class(server_port),
           sum(bytes_in)::bigint, sum(bytes_out)::bigint, sum(packets_in)::bigint, sum(packets_out)::bigint,
           sum(retrans)::bigint, sum(connections)::bigint, max(time)
    FROM flow
    WHERE time >= lower AND time < upper
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
$$;
CREATE OR REPLACE VIEW flow_1m AS
SELECT * FROM flow_1m_rollup
UNION ALL
SELECT computed.* FROM tier, LATERAL flow_1m_of(watermark, 'infinity') AS computed WHERE name = '1m';

CREATE FUNCTION flow_1h_of(lower timestamptz, upper timestamptz) RETURNS SETOF flow_1h_rollup
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT date_bin(interval '1 hour', bucket, timestamptz '2000-01-01 00:00:00+00'), host_id, app_id, domain_id,
           site_id, scope, role, protocol, port_class,
           sum(bytes_in)::bigint, sum(bytes_out)::bigint, sum(packets_in)::bigint, sum(packets_out)::bigint,
           sum(retrans)::bigint, sum(connections)::bigint, max(last_used)
    FROM flow_1m
    WHERE bucket >= lower AND bucket < upper
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
$$;
CREATE OR REPLACE VIEW flow_1h AS
SELECT * FROM flow_1h_rollup
UNION ALL
SELECT computed.* FROM tier, LATERAL flow_1h_of(watermark, 'infinity') AS computed WHERE name = '1h';

CREATE FUNCTION flow_1d_of(lower timestamptz, upper timestamptz) RETURNS SETOF flow_1d_rollup
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT date_trunc('day', bucket, '{{timezone}}'), host_id, app_id, domain_id,
           site_id, scope, role, protocol, port_class,
           sum(bytes_in)::bigint, sum(bytes_out)::bigint, sum(packets_in)::bigint, sum(packets_out)::bigint,
           sum(retrans)::bigint, sum(connections)::bigint, max(last_used)
    FROM flow_1h
    WHERE bucket >= lower AND bucket < upper
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
$$;
CREATE OR REPLACE VIEW flow_1d AS
SELECT * FROM flow_1d_rollup
UNION ALL
SELECT computed.* FROM tier, LATERAL flow_1d_of(watermark, 'infinity') AS computed WHERE name = '1d';

-- Totals of an application without its domains, for long ranges. From the flow of the same tier, so that they can
-- always be made again.
CREATE TABLE traffic_1h_rollup (
    bucket       timestamptz NOT NULL,
    host_id      integer NOT NULL,
    app_id       integer NOT NULL,
    scope        smallint NOT NULL,
    role         smallint NOT NULL,
    bytes_in     bigint NOT NULL,
    bytes_out    bigint NOT NULL,
    packets_in   bigint NOT NULL,
    packets_out  bigint NOT NULL,
    retrans      bigint,
    connections  bigint NOT NULL,
    last_used    timestamptz NOT NULL
);
CREATE TABLE traffic_1d_rollup (LIKE traffic_1h_rollup INCLUDING ALL);
CREATE INDEX traffic_1h_rollup_bucket ON traffic_1h_rollup (bucket);
CREATE INDEX traffic_1d_rollup_bucket ON traffic_1d_rollup (bucket);

CREATE FUNCTION traffic_1h_of(lower timestamptz, upper timestamptz) RETURNS SETOF traffic_1h_rollup
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT bucket, host_id, app_id, scope, role,
           sum(bytes_in)::bigint, sum(bytes_out)::bigint, sum(packets_in)::bigint, sum(packets_out)::bigint,
           sum(retrans)::bigint, sum(connections)::bigint, max(last_used)
    FROM flow_1h
    WHERE bucket >= lower AND bucket < upper
    GROUP BY 1, 2, 3, 4, 5
$$;
CREATE VIEW traffic_1h AS
SELECT * FROM traffic_1h_rollup
UNION ALL
SELECT computed.* FROM tier, LATERAL traffic_1h_of(watermark, 'infinity') AS computed WHERE name = '1h';

CREATE FUNCTION traffic_1d_of(lower timestamptz, upper timestamptz) RETURNS SETOF traffic_1d_rollup
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT bucket, host_id, app_id, scope, role,
           sum(bytes_in)::bigint, sum(bytes_out)::bigint, sum(packets_in)::bigint, sum(packets_out)::bigint,
           sum(retrans)::bigint, sum(connections)::bigint, max(last_used)
    FROM flow_1d
    WHERE bucket >= lower AND bucket < upper
    GROUP BY 1, 2, 3, 4, 5
$$;
CREATE VIEW traffic_1d AS
SELECT * FROM traffic_1d_rollup
UNION ALL
SELECT computed.* FROM tier, LATERAL traffic_1d_of(watermark, 'infinity') AS computed WHERE name = '1d';

-- Coverage outlives raw, so that a gap is told from a zero at every tier: a bucket in which a host has no row, or
-- measured_ms is 0, is a gap. The share measured is measured_ms over the length of the bucket.
CREATE TABLE coverage_1m_rollup (
    bucket            timestamptz NOT NULL,
    host_id           integer NOT NULL,
    interval_seconds  bigint NOT NULL,
    measured_ms       bigint NOT NULL,
    mode              smallint NOT NULL,
    paused            boolean NOT NULL
);
COMMENT ON COLUMN coverage_1m_rollup.interval_seconds IS 'Seconds that were reported on, measured or not';
COMMENT ON COLUMN coverage_1m_rollup.mode IS 'The weakest mode of the bucket';
COMMENT ON COLUMN coverage_1m_rollup.paused IS 'Paused during at least one interval';
CREATE TABLE coverage_1h_rollup (LIKE coverage_1m_rollup INCLUDING ALL);
CREATE TABLE coverage_1d_rollup (LIKE coverage_1m_rollup INCLUDING ALL);
CREATE INDEX coverage_1m_rollup_bucket ON coverage_1m_rollup (bucket);
CREATE INDEX coverage_1h_rollup_bucket ON coverage_1h_rollup (bucket);
CREATE INDEX coverage_1d_rollup_bucket ON coverage_1d_rollup (bucket);

CREATE FUNCTION coverage_1m_of(lower timestamptz, upper timestamptz) RETURNS SETOF coverage_1m_rollup
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT date_bin(interval '1 minute', time, timestamptz '2000-01-01 00:00:00+00'), host_id,
           sum(interval_seconds)::bigint, sum(measured_ms)::bigint, max(mode), bool_or(paused)
    FROM coverage
    WHERE time >= lower AND time < upper
    GROUP BY 1, 2
$$;
CREATE VIEW coverage_1m AS
SELECT * FROM coverage_1m_rollup
UNION ALL
SELECT computed.* FROM tier, LATERAL coverage_1m_of(watermark, 'infinity') AS computed WHERE name = '1m';

CREATE FUNCTION coverage_1h_of(lower timestamptz, upper timestamptz) RETURNS SETOF coverage_1h_rollup
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT date_bin(interval '1 hour', bucket, timestamptz '2000-01-01 00:00:00+00'), host_id,
           sum(interval_seconds)::bigint, sum(measured_ms)::bigint, max(mode), bool_or(paused)
    FROM coverage_1m
    WHERE bucket >= lower AND bucket < upper
    GROUP BY 1, 2
$$;
CREATE VIEW coverage_1h AS
SELECT * FROM coverage_1h_rollup
UNION ALL
SELECT computed.* FROM tier, LATERAL coverage_1h_of(watermark, 'infinity') AS computed WHERE name = '1h';

CREATE FUNCTION coverage_1d_of(lower timestamptz, upper timestamptz) RETURNS SETOF coverage_1d_rollup
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT date_trunc('day', bucket, '{{timezone}}'), host_id,
           sum(interval_seconds)::bigint, sum(measured_ms)::bigint, max(mode), bool_or(paused)
    FROM coverage_1h
    WHERE bucket >= lower AND bucket < upper
    GROUP BY 1, 2
$$;
CREATE VIEW coverage_1d AS
SELECT * FROM coverage_1d_rollup
UNION ALL
SELECT computed.* FROM tier, LATERAL coverage_1d_of(watermark, 'infinity') AS computed WHERE name = '1d';

-- The causes of an interface's bytes, so that long ranges can be shown to add up as well.
CREATE TABLE tally_1m_rollup (
    bucket       timestamptz NOT NULL,
    host_id      integer NOT NULL,
    interface    text NOT NULL,
    cause        smallint NOT NULL,
    bytes_in     bigint NOT NULL,
    bytes_out    bigint NOT NULL,
    packets_in   bigint NOT NULL,
    packets_out  bigint NOT NULL
);
CREATE TABLE tally_1h_rollup (LIKE tally_1m_rollup INCLUDING ALL);
CREATE TABLE tally_1d_rollup (LIKE tally_1m_rollup INCLUDING ALL);
CREATE INDEX tally_1m_rollup_bucket ON tally_1m_rollup (bucket);
CREATE INDEX tally_1h_rollup_bucket ON tally_1h_rollup (bucket);
CREATE INDEX tally_1d_rollup_bucket ON tally_1d_rollup (bucket);

CREATE FUNCTION tally_1m_of(lower timestamptz, upper timestamptz) RETURNS SETOF tally_1m_rollup
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT date_bin(interval '1 minute', time, timestamptz '2000-01-01 00:00:00+00'), host_id, interface, cause,
           sum(bytes_in)::bigint, sum(bytes_out)::bigint, sum(packets_in)::bigint, sum(packets_out)::bigint
    FROM tally
    WHERE time >= lower AND time < upper
    GROUP BY 1, 2, 3, 4
$$;
CREATE VIEW tally_1m AS
SELECT * FROM tally_1m_rollup
UNION ALL
SELECT computed.* FROM tier, LATERAL tally_1m_of(watermark, 'infinity') AS computed WHERE name = '1m';

CREATE FUNCTION tally_1h_of(lower timestamptz, upper timestamptz) RETURNS SETOF tally_1h_rollup
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT date_bin(interval '1 hour', bucket, timestamptz '2000-01-01 00:00:00+00'), host_id, interface, cause,
           sum(bytes_in)::bigint, sum(bytes_out)::bigint, sum(packets_in)::bigint, sum(packets_out)::bigint
    FROM tally_1m
    WHERE bucket >= lower AND bucket < upper
    GROUP BY 1, 2, 3, 4
$$;
CREATE VIEW tally_1h AS
SELECT * FROM tally_1h_rollup
UNION ALL
SELECT computed.* FROM tier, LATERAL tally_1h_of(watermark, 'infinity') AS computed WHERE name = '1h';

CREATE FUNCTION tally_1d_of(lower timestamptz, upper timestamptz) RETURNS SETOF tally_1d_rollup
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT date_trunc('day', bucket, '{{timezone}}'), host_id, interface, cause,
           sum(bytes_in)::bigint, sum(bytes_out)::bigint, sum(packets_in)::bigint, sum(packets_out)::bigint
    FROM tally_1h
    WHERE bucket >= lower AND bucket < upper
    GROUP BY 1, 2, 3, 4
$$;
CREATE VIEW tally_1d AS
SELECT * FROM tally_1d_rollup
UNION ALL
SELECT computed.* FROM tier, LATERAL tally_1d_of(watermark, 'infinity') AS computed WHERE name = '1d';

-- Time spent on a site in a browser.
CREATE TABLE tab_activity_1m_rollup (
    bucket   timestamptz NOT NULL,
    host_id  integer NOT NULL,
    browser  text NOT NULL,
    site_id  integer NOT NULL,
    seconds  bigint NOT NULL
);
CREATE TABLE tab_activity_1h_rollup (LIKE tab_activity_1m_rollup INCLUDING ALL);
CREATE TABLE tab_activity_1d_rollup (LIKE tab_activity_1m_rollup INCLUDING ALL);
CREATE INDEX tab_activity_1m_rollup_bucket ON tab_activity_1m_rollup (bucket);
CREATE INDEX tab_activity_1h_rollup_bucket ON tab_activity_1h_rollup (bucket);
CREATE INDEX tab_activity_1d_rollup_bucket ON tab_activity_1d_rollup (bucket);

CREATE FUNCTION tab_activity_1m_of(lower timestamptz, upper timestamptz) RETURNS SETOF tab_activity_1m_rollup
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT date_bin(interval '1 minute', time, timestamptz '2000-01-01 00:00:00+00'), host_id, browser, site_id,
           sum(seconds)::bigint
    FROM tab_activity
    WHERE time >= lower AND time < upper
    GROUP BY 1, 2, 3, 4
$$;
CREATE VIEW tab_activity_1m AS
SELECT * FROM tab_activity_1m_rollup
UNION ALL
SELECT computed.* FROM tier, LATERAL tab_activity_1m_of(watermark, 'infinity') AS computed WHERE name = '1m';

CREATE FUNCTION tab_activity_1h_of(lower timestamptz, upper timestamptz) RETURNS SETOF tab_activity_1h_rollup
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT date_bin(interval '1 hour', bucket, timestamptz '2000-01-01 00:00:00+00'), host_id, browser, site_id,
           sum(seconds)::bigint
    FROM tab_activity_1m
    WHERE bucket >= lower AND bucket < upper
    GROUP BY 1, 2, 3, 4
$$;
CREATE VIEW tab_activity_1h AS
SELECT * FROM tab_activity_1h_rollup
UNION ALL
SELECT computed.* FROM tier, LATERAL tab_activity_1h_of(watermark, 'infinity') AS computed WHERE name = '1h';

CREATE FUNCTION tab_activity_1d_of(lower timestamptz, upper timestamptz) RETURNS SETOF tab_activity_1d_rollup
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT date_trunc('day', bucket, '{{timezone}}'), host_id, browser, site_id,
           sum(seconds)::bigint
    FROM tab_activity_1h
    WHERE bucket >= lower AND bucket < upper
    GROUP BY 1, 2, 3, 4
$$;
CREATE VIEW tab_activity_1d AS
SELECT * FROM tab_activity_1d_rollup
UNION ALL
SELECT computed.* FROM tier, LATERAL tab_activity_1d_of(watermark, 'infinity') AS computed WHERE name = '1d';

-- Replaces the buckets of [lower, upper) by what the tier below holds; tells how many rows they have now.
CREATE FUNCTION refresh_rollup(relation text, lower timestamptz, upper timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
BEGIN
    EXECUTE format('DELETE FROM %I WHERE bucket >= $1 AND bucket < $2', relation || '_rollup') USING lower, upper;
    EXECUTE format('INSERT INTO %I SELECT * FROM %I($1, $2)', relation || '_rollup', relation || '_of') USING lower, upper;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;

-- What is stored in parts that are dropped as a whole: the day partitions of raw.
CREATE VIEW tier_part AS
SELECT 'raw'::text AS tier, parent.relname::text AS relation, child.oid::regclass AS part,
       to_date(right(child.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' AS lower,
       (to_date(right(child.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' AS upper
FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
JOIN pg_class AS parent ON parent.oid = inhparent
WHERE parent.oid = ANY (tier_relations('raw')::regclass[]);

-- Bytes on disk of each tier, indexes included, and its rows as the planner knows them.
CREATE VIEW tier_size AS
SELECT tier, coalesce(sum(pg_total_relation_size(oid)), 0)::bigint AS bytes,
       coalesce(sum(greatest(reltuples, 0)), 0)::bigint AS rows
FROM (
    SELECT tier, part AS stored FROM tier_part
    UNION ALL
    SELECT name, (relation || '_rollup')::regclass
    FROM tier, unnest(tier_relations(name)) AS relation
    WHERE name <> 'raw'
) AS parts
JOIN pg_class ON oid = stored
GROUP BY tier;

-- Where the data of a tier begins.
CREATE FUNCTION tier_oldest_part(wanted text) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
    relation  text;
    found     timestamptz;
    oldest    timestamptz;
BEGIN
    IF wanted = 'raw' THEN
        RETURN (SELECT min(lower) FROM tier_part);
    END IF;
    FOREACH relation IN ARRAY tier_relations(wanted) LOOP
        EXECUTE format('SELECT min(bucket) FROM %I', relation || '_rollup') INTO found;
        oldest := least(oldest, found);
    END LOOP;
    RETURN oldest;
END
$$;

-- Up to where a tier can be dropped when all before a time may go, null for nothing, and the bytes that this frees: those
-- of whole partitions of raw; of the others an estimate, by their share of the rows.
CREATE FUNCTION tier_droppable(wanted text, before timestamptz, OUT bound timestamptz, OUT bytes bigint)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    gone  bigint;
BEGIN
    IF wanted = 'raw' THEN
        SELECT max(upper), sum(pg_total_relation_size(part)) INTO bound, bytes FROM tier_part WHERE upper <= before;
    ELSE
        gone := tier_rows(wanted, '-infinity', before);
        IF gone > 0 THEN
            bound := before;
            SELECT size.bytes * gone / greatest(size.rows, gone) INTO bytes FROM tier_size AS size WHERE tier = wanted;
        END IF;
    END IF;
END
$$;

CREATE FUNCTION drop_tier(wanted text, before timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    gone      regclass;
    relation  text;
BEGIN
    IF wanted = 'raw' THEN
        FOR gone IN SELECT part FROM tier_part WHERE upper <= before ORDER BY lower LOOP
            EXECUTE format('DROP TABLE %s', gone);
        END LOOP;
        RETURN;
    END IF;
    FOREACH relation IN ARRAY tier_relations(wanted) LOOP
        EXECUTE format('DELETE FROM %I WHERE bucket < $1', relation || '_rollup') USING before;
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
    FOR relation, target IN
        SELECT rel, (rel || CASE tier.name WHEN 'raw' THEN '' ELSE '_rollup' END)::regclass
        FROM tier, unnest(tier_relations(tier.name)) AS rel
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
DO $$ BEGIN
    RAISE EXCEPTION 'the rollups hold history that raw no longer has; going back would lose it: restore a backup instead';
END $$;
