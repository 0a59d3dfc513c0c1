-- name: applications
-- The first applications of a range in the order asked for; every row carries the totals of all, so that one scan
-- answers the table, its others and its sum. Grouped by pairs: all three together are many more groups than rows shown.
WITH parts AS MATERIALIZED (
    SELECT app_id, domain_id, grouping(host_id) = 0 AS is_host, sum(bytes_in)::bigint AS bytes_in,
           sum(bytes_out)::bigint AS bytes_out, sum(connections)::bigint AS connections, max(last_used) AS last_used
    FROM flow_tiers
    WHERE tier = :tier AND bucket >= :start AND bucket < :end
      AND (:hosts::integer[] IS NULL OR host_id = ANY (:hosts))
      AND scope = ANY (:scopes) AND (:both_sides::boolean OR scope <> 4 OR role <> 2)
    GROUP BY GROUPING SETS ((app_id, host_id), (app_id, domain_id))
), apps AS (
    SELECT app_id, sum(bytes_in) FILTER (WHERE is_host)::bigint AS bytes_in,
           sum(bytes_out) FILTER (WHERE is_host)::bigint AS bytes_out,
           sum(connections) FILTER (WHERE is_host)::bigint AS connections,
           count(*) FILTER (WHERE NOT is_host AND domain_id <> 0) AS domains,
           count(*) FILTER (WHERE is_host) AS hosts, max(last_used) AS last_used
    FROM parts
    GROUP BY app_id
)
SELECT app.id, app.name, app.executable, app.username, apps.bytes_in, apps.bytes_out, apps.connections, apps.domains,
       apps.hosts, apps.last_used,
       count(*) OVER () AS all_count,
       sum(apps.bytes_in) OVER ()::bigint AS all_bytes_in, sum(apps.bytes_out) OVER ()::bigint AS all_bytes_out
FROM apps
JOIN app ON app.id = apps.app_id
ORDER BY CASE WHEN :sort::text = 'name' THEN app.name END,
         CASE :sort WHEN 'bytes' THEN apps.bytes_in + apps.bytes_out
                    WHEN 'bytes_in' THEN apps.bytes_in
                    WHEN 'bytes_out' THEN apps.bytes_out
                    WHEN 'connections' THEN apps.connections
                    WHEN 'last_used' THEN extract(epoch FROM apps.last_used) END DESC NULLS LAST,
         app.name, app.id
LIMIT :limit;
