-- migrate:up

-- The daily tier as a question about a year reads it: what is summed comes first in a row, as PostgreSQL walks over all
-- columns before the one it wants, and the rows of a day stand in the order of the domain, so that those of one are met
-- together. Together a quarter of the time of a year's domains. What the database holds is copied once.
CREATE TABLE flow_1d_stored (
    bucket       timestamptz NOT NULL,
    bytes_in     bigint NOT NULL,
    bytes_out    bigint NOT NULL,
    domain_id    integer NOT NULL,
    host_id      integer NOT NULL,
    app_id       integer NOT NULL,
    scope        smallint NOT NULL,
    role         smallint NOT NULL,
    connections  bigint NOT NULL,
    last_used    timestamptz NOT NULL,
    site_id      integer NOT NULL,
    port_class   integer NOT NULL,
    packets_in   bigint NOT NULL,
    packets_out  bigint NOT NULL,
    retrans      bigint,
    protocol     smallint NOT NULL
);
INSERT INTO flow_1d_stored
SELECT bucket, bytes_in, bytes_out, domain_id, host_id, app_id, scope, role, connections, last_used, site_id, port_class,
       packets_in, packets_out, retrans, protocol
FROM flow_1d_rollup
ORDER BY bucket, domain_id;

CREATE OR REPLACE VIEW flow_1d AS
SELECT bucket, host_id, app_id, domain_id, site_id, scope, role, protocol, port_class, bytes_in, bytes_out, packets_in,
       packets_out, retrans, connections, last_used
FROM flow_1d_stored
UNION ALL
SELECT date_trunc('day', bucket, '{{timezone}}'), host_id, app_id, domain_id, site_id, scope, role, protocol, port_class,
       sum(bytes_in)::bigint, sum(bytes_out)::bigint, sum(packets_in)::bigint, sum(packets_out)::bigint,
       sum(retrans)::bigint, sum(connections)::bigint, max(last_used)
FROM flow_1h
WHERE bucket >= (SELECT watermark FROM tier WHERE name = '1d') AND bucket < 'infinity'
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9;

DROP FUNCTION flow_1d_of;
DROP TABLE flow_1d_rollup;
ALTER TABLE flow_1d_stored RENAME TO flow_1d_rollup;
CREATE INDEX flow_1d_rollup_bucket ON flow_1d_rollup (bucket);
CREATE INDEX flow_1d_rollup_domain ON flow_1d_rollup (domain_id, bucket);

CREATE FUNCTION flow_1d_of(lower timestamptz, upper timestamptz) RETURNS SETOF flow_1d_rollup
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT date_trunc('day', bucket, '{{timezone}}'), sum(bytes_in)::bigint, sum(bytes_out)::bigint, domain_id, host_id,
           app_id, scope, role, sum(connections)::bigint, max(last_used), site_id, port_class,
           sum(packets_in)::bigint, sum(packets_out)::bigint, sum(retrans)::bigint, protocol
    FROM flow_1h
    WHERE bucket >= lower AND bucket < upper
    GROUP BY 1, domain_id, host_id, app_id, scope, role, site_id, port_class, protocol
    ORDER BY 1, domain_id
$$;

-- migrate:down
DO $$ BEGIN
    RAISE EXCEPTION 'an older version cannot write this table of days: restore a backup instead';
END $$;
