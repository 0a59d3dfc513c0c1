-- migrate:up
CREATE EXTENSION IF NOT EXISTS timescaledb;

-- The same relations as on plain PostgreSQL (the columns' meanings are written there), as hypertables with chunks of a
-- day. Nothing here runs by itself: the aggregator refreshes, compresses and drops, under the rules of the store.
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
);
CREATE TABLE tally (
    time         timestamptz NOT NULL,
    host_id      integer NOT NULL,
    interface    text NOT NULL,
    cause        smallint NOT NULL,
    bytes_in     bigint NOT NULL,
    bytes_out    bigint NOT NULL,
    packets_in   bigint NOT NULL,
    packets_out  bigint NOT NULL
);
CREATE TABLE coverage (
    time              timestamptz NOT NULL,
    host_id           integer NOT NULL,
    interval_seconds  smallint NOT NULL,
    measured_ms       integer NOT NULL,
    mode              smallint NOT NULL,
    paused            boolean NOT NULL
);
CREATE TABLE tab_activity (
    time      timestamptz NOT NULL,
    host_id   integer NOT NULL,
    browser   text NOT NULL,
    site_id   integer NOT NULL,
    seconds   integer NOT NULL
);
SELECT create_hypertable('flow', by_range('time', INTERVAL '1 day'), create_default_indexes => false);
SELECT create_hypertable('tally', by_range('time', INTERVAL '1 day'), create_default_indexes => false);
SELECT create_hypertable('coverage', by_range('time', INTERVAL '1 day'), create_default_indexes => false);
SELECT create_hypertable('tab_activity', by_range('time', INTERVAL '1 day'), create_default_indexes => false);
-- Not BRIN as on plain PostgreSQL: every refresh of every tier asks for the newest row, and would read all rows.
CREATE INDEX flow_time ON flow (time DESC);
CREATE INDEX tally_time ON tally (time DESC);
CREATE INDEX coverage_time ON coverage (time DESC);
CREATE INDEX tab_activity_time ON tab_activity (time DESC);

-- Ports that keep their number in the rollups; all others above 1023 are class 0.
CREATE FUNCTION port_class(port integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN port < 1024 OR port IN (
    1194, 1433, 1521, 1883, 2049, 2375, 2376, 2379, 3000, 3128, 3306, 3389, 3478, 4222, 4317, 4318, 5060, 5061, 5222,
    5353, 5432, 5671, 5672, 5900, 5984, 6379, 6443, 6881, 7500, 7501, 8000, 8008, 8080, 8081, 8443, 8883, 9000, 9042,
    9090, 9092, 9100, 9200, 9418, 10250, 11211, 25565, 27017, 32400, 51413, 51820)
    THEN port ELSE 0 END;

CREATE MATERIALIZED VIEW flow_1m
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
SELECT time_bucket('1 minute', time) AS bucket, host_id, app_id, domain_id, site_id, scope, role, protocol,
       port_class(server_port) AS port_class,
       sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
       sum(packets_in)::bigint AS packets_in, sum(packets_out)::bigint AS packets_out,
       sum(retrans)::bigint AS retrans, sum(connections)::bigint AS connections, max(time) AS last_used
FROM flow
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
WITH NO DATA;

CREATE MATERIALIZED VIEW flow_1h
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
SELECT time_bucket('1 hour', bucket) AS bucket, host_id, app_id, domain_id, site_id, scope, role, protocol, port_class,
       sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
       sum(packets_in)::bigint AS packets_in, sum(packets_out)::bigint AS packets_out,
       sum(retrans)::bigint AS retrans, sum(connections)::bigint AS connections, max(last_used) AS last_used
FROM flow_1m
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
WITH NO DATA;

CREATE MATERIALIZED VIEW flow_1d
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false) AS
SELECT time_bucket('1 day', bucket, '{{timezone}}') AS bucket, host_id, app_id, domain_id, site_id, scope, role,
       protocol, port_class,
       sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
       sum(packets_in)::bigint AS packets_in, sum(packets_out)::bigint AS packets_out,
       sum(retrans)::bigint AS retrans, sum(connections)::bigint AS connections, max(last_used) AS last_used
FROM flow_1h
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
WITH NO DATA;

-- migrate:down
DROP MATERIALIZED VIEW flow_1d;
DROP MATERIALIZED VIEW flow_1h;
DROP MATERIALIZED VIEW flow_1m;
DROP FUNCTION port_class;
DROP TABLE tab_activity, coverage, tally, flow;
