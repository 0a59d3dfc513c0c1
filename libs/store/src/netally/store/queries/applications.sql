-- name: applications
-- A page of the applications of a range in the order asked for, with the totals of all in every row (the only row has
-- null columns when the page is empty).
WITH apps AS MATERIALIZED (
    SELECT app_id, sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
           sum(connections)::bigint AS connections, count(*) AS hosts, max(last_used) AS last_used
    FROM (
        SELECT app_id, host_id, sum(bytes_in) AS bytes_in, sum(bytes_out) AS bytes_out, sum(connections) AS connections,
               max(last_used) AS last_used
        FROM counted
        GROUP BY 1, 2
    ) AS parts
    GROUP BY app_id
), totals AS (
    SELECT count(*) AS all_count, coalesce(sum(bytes_in), 0)::bigint AS all_bytes_in,
           coalesce(sum(bytes_out), 0)::bigint AS all_bytes_out
    FROM apps
), page AS (
    SELECT app.id, app.name, app.executable, app.username, apps.bytes_in, apps.bytes_out, apps.connections,
           apps.hosts, apps.last_used,
           CASE :sort::text WHEN 'bytes' THEN apps.bytes_in + apps.bytes_out
                            WHEN 'bytes_in' THEN apps.bytes_in
                            WHEN 'bytes_out' THEN apps.bytes_out
                            WHEN 'connections' THEN apps.connections
                            WHEN 'last_used' THEN (extract(epoch FROM apps.last_used) * 1000)::bigint END AS rank
    FROM apps
    JOIN app ON app.id = apps.app_id
    ORDER BY rank DESC NULLS LAST, app.name, app.id
    LIMIT :limit OFFSET :offset
)
SELECT totals.*, page.*
FROM totals
LEFT JOIN page ON true
ORDER BY page.rank DESC NULLS LAST, page.name, page.id;

-- name: app_domains
-- How many domains each application used.
SELECT app_id, count(*) AS domains
FROM (SELECT app_id, domain_id FROM counted WHERE domain_id <> 0 GROUP BY 1, 2) AS pairs
GROUP BY app_id;

-- name: app
SELECT id, name, executable, username, unit, container, first_seen FROM app WHERE id = :id AND deleted_at IS NULL;

-- name: apps
SELECT id, name, executable, username FROM app WHERE id = ANY (:ids::integer[]);
