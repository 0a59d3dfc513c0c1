-- migrate:up

-- Every tier under one name and with one set of columns, so that each query is written once: `WHERE tier = '1h'` leaves
-- one branch. What a tier does not keep is null.
CREATE VIEW flow_tiers AS
SELECT 'raw'::text AS tier, time AS bucket, host_id, app_id, domain_id, site_id, scope, role, protocol,
       port_class(server_port) AS port_class, bytes_in, bytes_out, packets_in, packets_out, retrans,
       connections::bigint AS connections, time AS last_used, domain_source, process_source
FROM flow
UNION ALL
SELECT '1m', bucket, host_id, app_id, domain_id, site_id, scope, role, protocol, port_class, bytes_in, bytes_out,
       packets_in, packets_out, retrans, connections, last_used, NULL::smallint, NULL::smallint
FROM flow_1m
UNION ALL
SELECT '1h', bucket, host_id, app_id, domain_id, site_id, scope, role, protocol, port_class, bytes_in, bytes_out,
       packets_in, packets_out, retrans, connections, last_used, NULL::smallint, NULL::smallint
FROM flow_1h
UNION ALL
SELECT '1d', bucket, host_id, app_id, domain_id, site_id, scope, role, protocol, port_class, bytes_in, bytes_out,
       packets_in, packets_out, retrans, connections, last_used, NULL::smallint, NULL::smallint
FROM flow_1d;

-- migrate:down
DROP VIEW flow_tiers;
