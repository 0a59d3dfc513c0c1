-- Figures that need no names, and raw flows.

-- name: sums_by
-- Sums of each value of one dimension; of everything together, by id 0, when the dimension is none.
SELECT CASE :dimension::text WHEN 'app' THEN app_id WHEN 'domain' THEN domain_id WHEN 'host' THEN host_id ELSE 0 END AS id,
       sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out, sum(connections)::bigint AS connections,
       max(last_used) AS last_used
FROM counted
GROUP BY 1;

-- name: first_use
-- Start of the first bucket; no row when there is none.
SELECT min(bucket) AS first_use FROM counted HAVING count(*) > 0;

-- name: app_groups
-- Distinct hosts and domains of groups of applications: `numbers` gives each application its group.
SELECT number, count(*) FILTER (WHERE is_host) AS hosts, count(*) FILTER (WHERE NOT is_host AND domain_id <> 0) AS domains
FROM (
    SELECT number, domain_id, grouping(host_id) = 0 AS is_host
    FROM (SELECT * FROM counted) AS own
    JOIN unnest(:ids::integer[], :numbers::integer[]) AS member (app_id, number) USING (app_id)
    GROUP BY GROUPING SETS ((number, host_id), (number, domain_id))
) AS parts
GROUP BY number;

-- name: sources
-- How processes and names were found; raw flows alone know it.
SELECT grouping(process_source) = 0 AS is_process, coalesce(process_source, domain_source) AS source,
       sum(bytes_in + bytes_out)::bigint AS bytes
FROM counted
GROUP BY GROUPING SETS ((process_source), (domain_source))
ORDER BY bytes DESC, source;

-- name: protocols
WITH found AS MATERIALIZED (
    SELECT protocol, port_class AS port, sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
           sum(connections)::bigint AS connections, max(last_used) AS last_used
    FROM counted
    GROUP BY 1, 2
), totals AS (
    SELECT count(*) AS all_count, coalesce(sum(bytes_in), 0)::bigint AS all_bytes_in,
           coalesce(sum(bytes_out), 0)::bigint AS all_bytes_out
    FROM found
), page AS (
    SELECT found.*, protocol AS id, row_number() OVER (ORDER BY bytes_in + bytes_out DESC, protocol, port) AS place
    FROM found
    ORDER BY place
    LIMIT :limit OFFSET :offset
)
SELECT totals.*, page.*
FROM totals
LEFT JOIN page ON true
ORDER BY page.place;

-- name: remotes
-- Each with the names it was reached by, those of most bytes first, at most five.
WITH parts AS MATERIALIZED (
    SELECT remote, domain_id, sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
           sum(connections)::bigint AS connections, max(last_used) AS last_used
    FROM counted
    GROUP BY 1, 2
), found AS MATERIALIZED (
    SELECT remote, sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
           sum(connections)::bigint AS connections, max(last_used) AS last_used
    FROM parts
    GROUP BY 1
), totals AS (
    SELECT count(*) AS all_count, coalesce(sum(bytes_in), 0)::bigint AS all_bytes_in,
           coalesce(sum(bytes_out), 0)::bigint AS all_bytes_out
    FROM found
), page AS (
    SELECT found.*, remote AS id, row_number() OVER (ORDER BY bytes_in + bytes_out DESC, remote) AS place
    FROM found
    ORDER BY place
    LIMIT :limit OFFSET :offset
), names AS (
    SELECT remote, array_agg(name ORDER BY place) AS names
    FROM (
        SELECT parts.remote, domain.name,
               row_number() OVER (PARTITION BY parts.remote ORDER BY parts.bytes_in + parts.bytes_out DESC, domain.id) AS place
        FROM parts
        JOIN page USING (remote)
        JOIN domain ON domain.id = parts.domain_id AND domain.id <> 0
    ) AS ranked
    WHERE place <= 5
    GROUP BY remote
)
SELECT totals.*, page.*, coalesce(names.names, '{}') AS domains
FROM totals
LEFT JOIN page ON true
LEFT JOIN names ON names.remote = page.remote
ORDER BY page.place;

-- name: flows
-- Raw flows, newest first. From a place on: `skip` rows of that host and time were given before.
WITH page AS (
    SELECT *
    FROM counted
    WHERE :host_id::integer IS NULL OR bucket < :time OR host_id <= :host_id
    ORDER BY bucket DESC, host_id DESC, app_id, domain_id, site_id, scope, protocol, server_port, role, remote, bytes_in,
             bytes_out, packets_in, packets_out, connections, domain_source, process_source
    LIMIT :limit OFFSET :skip
)
SELECT page.*, host.name AS host, app.name AS app, domain.name AS domain, site.name AS site
FROM page
JOIN host ON host.id = page.host_id
JOIN app ON app.id = page.app_id
JOIN domain ON domain.id = page.domain_id
JOIN domain AS site ON site.id = page.site_id
ORDER BY bucket DESC, host_id DESC, app_id, domain_id, site_id, scope, protocol, server_port, role, remote, bytes_in,
         bytes_out, packets_in, packets_out, connections, domain_source, process_source;
