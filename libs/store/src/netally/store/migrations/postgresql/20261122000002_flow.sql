-- migrate:up

-- Partitioned by day (UTC); make_day_partitions below makes those that are written to.
CREATE TABLE flow (
    time            timestamptz NOT NULL,
    host_id         integer NOT NULL,
    app_id          integer NOT NULL,
    domain_id       integer NOT NULL,
    site_id         integer NOT NULL,
    scope           smallint NOT NULL,
    protocol        smallint NOT NULL,
    server_port     integer NOT NULL,
    role            smallint NOT NULL,
    remote          inet NOT NULL,
    bytes_in        bigint NOT NULL,
    bytes_out       bigint NOT NULL,
    packets_in      bigint NOT NULL,
    packets_out     bigint NOT NULL,
    retrans         bigint,
    connections     integer NOT NULL,
    domain_source   smallint NOT NULL,
    process_source  smallint NOT NULL,
    received_at     timestamptz NOT NULL
) PARTITION BY RANGE (time);
COMMENT ON COLUMN flow.time IS 'Start of the interval';
COMMENT ON COLUMN flow.bytes_in IS 'L3 bytes the host received, per wire segment, retransmissions included';
COMMENT ON COLUMN flow.scope IS '0 unknown, 1 internet, 2 private, 3 loopback, 4 peer, 5 replay';
COMMENT ON COLUMN flow.role IS 'Of this host: 0 unknown, 1 client, 2 server';
COMMENT ON COLUMN flow.domain_source IS '0 none, 1 extension, 2 tls_sni, 3 quic_sni, 4 http, 5 dns, 6 dns_query, 7 ech_outer';
COMMENT ON COLUMN flow.process_source IS '0 none, 1 ebpf, 2 sock_diag, 3 proc';
CREATE INDEX flow_time ON flow USING brin (time) WITH (pages_per_range = 128);

-- Where the bytes of each interface counter went; the causes of an interval and interface sum to the counter.
CREATE TABLE tally (
    time         timestamptz NOT NULL,
    host_id      integer NOT NULL,
    interface    text NOT NULL,
    cause        smallint NOT NULL,
    bytes_in     bigint NOT NULL,
    bytes_out    bigint NOT NULL,
    packets_in   bigint NOT NULL,
    packets_out  bigint NOT NULL
) PARTITION BY RANGE (time);
COMMENT ON COLUMN tally.cause IS
    '0 unknown, 1 attributed, 2 no_name, 3 no_process, 4 not_ip, 5 forwarded, 6 kernel, 7 header_difference, 8 lost_ring, 9 lost_map, 10 lost_spool, 11 paused';
CREATE INDEX tally_time ON tally USING brin (time) WITH (pages_per_range = 128);

-- How much of each interval each host measured: tells a real zero from a gap.
CREATE TABLE coverage (
    time              timestamptz NOT NULL,
    host_id           integer NOT NULL,
    interval_seconds  smallint NOT NULL,
    measured_ms       integer NOT NULL,
    mode              smallint NOT NULL,
    paused            boolean NOT NULL
) PARTITION BY RANGE (time);
COMMENT ON COLUMN coverage.mode IS '0 none, 1 ebpf, 2 packets, 3 unprivileged, 4 replay';
CREATE INDEX coverage_time ON coverage USING brin (time) WITH (pages_per_range = 128);

CREATE TABLE tab_activity (
    time      timestamptz NOT NULL,
    host_id   integer NOT NULL,
    browser   text NOT NULL,
    site_id   integer NOT NULL,
    seconds   integer NOT NULL
) PARTITION BY RANGE (time);

-- Partitions of one day (UTC) for every partitioned table; nothing happens for those that exist. Attaching a finished
-- table blocks neither readers nor writers of the parent, which CREATE TABLE … PARTITION OF would.
CREATE FUNCTION make_day_partitions(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    child  text;
BEGIN
    -- Several aggregators may need the same day at once.
    PERFORM pg_advisory_xact_lock(hashtextextended('netally.make_day_partitions', 0));
    FOREACH parent IN ARRAY ARRAY['flow', 'tally', 'coverage', 'tab_activity'] LOOP
        child := parent || '_' || to_char(day, 'YYYYMMDD');
        IF to_regclass(quote_ident(child)) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)', child, parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child,
                           day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        END IF;
    END LOOP;
END
$$;

-- Ports that keep their number in the rollups; all others above 1023 are class 0.
CREATE FUNCTION port_class(port integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN port < 1024 OR port IN (
    1194, 1433, 1521, 1883, 2049, 2375, 2376, 2379, 3000, 3128, 3306, 3389, 3478, 4222, 4317, 4318, 5060, 5061, 5222,
    5353, 5432, 5671, 5672, 5900, 5984, 6379, 6443, 6881, 7500, 7501, 8000, 8008, 8080, 8081, 8443, 8883, 9000, 9042,
    9090, 9092, 9100, 9200, 9418, 10250, 11211, 25565, 27017, 32400, 51413, 51820)
    THEN port ELSE 0 END;

-- The views bin by fixed origins, so that a bucket does not depend on the time zone of the session that asks.
CREATE VIEW flow_1m AS
SELECT date_bin(interval '1 minute', time, timestamptz '2000-01-01 00:00:00+00') AS bucket,
       host_id, app_id, domain_id, site_id, scope, role, protocol,
       port_class(server_port) AS port_class,
       sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
       sum(packets_in)::bigint AS packets_in, sum(packets_out)::bigint AS packets_out,
       sum(retrans)::bigint AS retrans, sum(connections)::bigint AS connections, max(time) AS last_used
FROM flow
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9;

CREATE VIEW flow_1h AS
SELECT date_bin(interval '1 hour', time, timestamptz '2000-01-01 00:00:00+00') AS bucket,
       host_id, app_id, domain_id, site_id, scope, role, protocol,
       port_class(server_port) AS port_class,
       sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
       sum(packets_in)::bigint AS packets_in, sum(packets_out)::bigint AS packets_out,
       sum(retrans)::bigint AS retrans, sum(connections)::bigint AS connections, max(time) AS last_used
FROM flow
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9;

CREATE VIEW flow_1d AS
SELECT date_trunc('day', time, '{{timezone}}') AS bucket, host_id, app_id, domain_id, site_id, scope, role, protocol,
       port_class(server_port) AS port_class,
       sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
       sum(packets_in)::bigint AS packets_in, sum(packets_out)::bigint AS packets_out,
       sum(retrans)::bigint AS retrans, sum(connections)::bigint AS connections, max(time) AS last_used
FROM flow
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9;

-- migrate:down
DROP VIEW flow_1d, flow_1h, flow_1m;
DROP FUNCTION port_class, make_day_partitions;
DROP TABLE tab_activity, coverage, tally, flow;
