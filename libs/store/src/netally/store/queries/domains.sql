-- name: domains
-- A page of the domains of a range in the order asked for, each with the five applications that used it most and (raw
-- tier) how the name was found; with the totals of all in every row (the only row has null columns when the page is
-- empty).
WITH parts AS MATERIALIZED (
    SELECT domain_id, app_id, domain_source, grouping(host_id) = 0 AS is_host, grouping(app_id) = 0 AS is_app,
           sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
           sum(connections)::bigint AS connections, max(last_used) AS last_used
    FROM counted
    GROUP BY GROUPING SETS ((domain_id, host_id), (domain_id, app_id), (domain_id, domain_source))
), names AS MATERIALIZED (
    SELECT domain_id, sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
           sum(connections)::bigint AS connections, count(*) AS hosts, max(last_used) AS last_used
    FROM parts
    WHERE is_host
    GROUP BY domain_id
), totals AS (
    SELECT count(*) AS all_count, coalesce(sum(bytes_in), 0)::bigint AS all_bytes_in,
           coalesce(sum(bytes_out), 0)::bigint AS all_bytes_out
    FROM names
), page AS (
    SELECT domain.id, domain.name, names.bytes_in, names.bytes_out, names.connections, names.hosts, names.last_used,
           row_number() OVER (
               ORDER BY CASE WHEN :sort::text = 'name' THEN domain.name END,
                        CASE :sort WHEN 'bytes' THEN names.bytes_in + names.bytes_out
                                   WHEN 'bytes_in' THEN names.bytes_in
                                   WHEN 'bytes_out' THEN names.bytes_out
                                   WHEN 'connections' THEN names.connections
                                   WHEN 'last_used' THEN extract(epoch FROM names.last_used) END DESC NULLS LAST,
                        domain.name, domain.id) AS place
    FROM names
    JOIN domain ON domain.id = names.domain_id
    ORDER BY place
    LIMIT :limit OFFSET :offset
), users AS (
    SELECT domain_id, app_id, bytes,
           row_number() OVER (PARTITION BY domain_id ORDER BY bytes DESC, app_id) AS place
    FROM (
        SELECT domain_id, app_id, bytes_in + bytes_out AS bytes
        FROM parts
        WHERE is_app AND domain_id IN (SELECT id FROM page)
    ) AS per_app
), user_lists AS (
    SELECT users.domain_id, array_agg(app.id ORDER BY users.place) AS app_ids,
           array_agg(app.name ORDER BY users.place) AS app_names,
           array_agg(app.executable ORDER BY users.place) AS app_executables,
           array_agg(users.bytes ORDER BY users.place) AS app_bytes
    FROM users
    JOIN app ON app.id = users.app_id
    WHERE users.place <= 5
    GROUP BY users.domain_id
), source_lists AS (
    SELECT domain_id, array_agg(domain_source ORDER BY bytes_in + bytes_out DESC, domain_source) AS sources
    FROM parts
    WHERE NOT is_host AND NOT is_app AND domain_source <> 0 AND domain_id IN (SELECT id FROM page)
    GROUP BY domain_id
)
SELECT totals.*, page.*, user_lists.app_ids, user_lists.app_names, user_lists.app_executables, user_lists.app_bytes,
       coalesce(source_lists.sources, '{}') AS sources
FROM totals
LEFT JOIN page ON true
LEFT JOIN user_lists ON user_lists.domain_id = page.id
LEFT JOIN source_lists ON source_lists.domain_id = page.id
ORDER BY page.place;

-- name: domain
SELECT id, name, first_seen FROM domain WHERE id = :id AND deleted_at IS NULL;

-- name: domain_names
SELECT id, name FROM domain WHERE id = ANY (:ids::integer[]);

-- name: domain_groups
-- Distinct hosts, the applications and the sources of groups of domains: `numbers` gives each domain its group.
WITH members AS (
    SELECT * FROM unnest(:ids::integer[], :numbers::integer[]) AS member (domain_id, number)
), parts AS (
    SELECT number, host_id, app_id, domain_source, grouping(host_id) = 0 AS is_host, grouping(app_id) = 0 AS is_app,
           sum(bytes_in + bytes_out)::bigint AS bytes
    FROM (SELECT * FROM counted) AS own
    JOIN members USING (domain_id)
    GROUP BY GROUPING SETS ((number, host_id), (number, app_id), (number, domain_source))
)
SELECT parts.number, parts.is_host, parts.is_app, parts.bytes, parts.domain_source, app.id AS app_id, app.name,
       app.executable
FROM parts
LEFT JOIN app ON parts.is_app AND app.id = parts.app_id
ORDER BY parts.number, parts.bytes DESC, app.id, parts.domain_source;
