-- name: applications
-- A page of the applications of a range in the order asked for, with the totals of all in every row (the only row has
-- null columns when the page is empty). Grouped by pairs: all three together are many more groups than rows shown.
WITH parts AS MATERIALIZED (
    SELECT app_id, domain_id, grouping(host_id) = 0 AS is_host, sum(bytes_in)::bigint AS bytes_in,
           sum(bytes_out)::bigint AS bytes_out, sum(connections)::bigint AS connections, max(last_used) AS last_used
    FROM counted
    GROUP BY GROUPING SETS ((app_id, host_id), (app_id, domain_id))
), apps AS MATERIALIZED (
    SELECT app_id, sum(bytes_in) FILTER (WHERE is_host)::bigint AS bytes_in,
           sum(bytes_out) FILTER (WHERE is_host)::bigint AS bytes_out,
           sum(connections) FILTER (WHERE is_host)::bigint AS connections,
           count(*) FILTER (WHERE NOT is_host AND domain_id <> 0) AS domains,
           count(*) FILTER (WHERE is_host) AS hosts, max(last_used) AS last_used
    FROM parts
    GROUP BY app_id
), totals AS (
    SELECT count(*) AS all_count, coalesce(sum(bytes_in), 0)::bigint AS all_bytes_in,
           coalesce(sum(bytes_out), 0)::bigint AS all_bytes_out
    FROM apps
), page AS (
    SELECT app.id, app.name, app.executable, app.username, apps.bytes_in, apps.bytes_out, apps.connections,
           apps.domains, apps.hosts, apps.last_used,
           row_number() OVER (
               ORDER BY CASE WHEN :sort::text = 'name' THEN app.name END,
                        CASE :sort WHEN 'bytes' THEN apps.bytes_in + apps.bytes_out
                                   WHEN 'bytes_in' THEN apps.bytes_in
                                   WHEN 'bytes_out' THEN apps.bytes_out
                                   WHEN 'connections' THEN apps.connections
                                   WHEN 'last_used' THEN extract(epoch FROM apps.last_used) END DESC NULLS LAST,
                        app.name, app.id) AS place
    FROM apps
    JOIN app ON app.id = apps.app_id
    ORDER BY place
    LIMIT :limit OFFSET :offset
)
SELECT totals.*, page.*
FROM totals
LEFT JOIN page ON true
ORDER BY page.place;

-- name: app
SELECT id, name, executable, username, unit, container, first_seen FROM app WHERE id = :id AND deleted_at IS NULL;

-- name: apps
SELECT id, name, executable, username FROM app WHERE id = ANY (:ids::integer[]);
