-- name: domains
-- A page of the domains of a range in the order asked for, with the totals of all in every row (the only row has null
-- columns when the page is empty). What else is told of a domain is read for the page alone, by statement domain_groups.
WITH names AS MATERIALIZED (
    SELECT domain_id, sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
           sum(connections)::bigint AS connections, max(last_used) AS last_used
    FROM counted
    GROUP BY domain_id
), totals AS (
    SELECT count(*) AS all_count, coalesce(sum(bytes_in), 0)::bigint AS all_bytes_in,
           coalesce(sum(bytes_out), 0)::bigint AS all_bytes_out
    FROM names
), page AS (
    SELECT domain.id, domain.name, names.bytes_in, names.bytes_out, names.connections, names.last_used,
           CASE :sort::text WHEN 'bytes' THEN names.bytes_in + names.bytes_out
                            WHEN 'bytes_in' THEN names.bytes_in
                            WHEN 'bytes_out' THEN names.bytes_out
                            WHEN 'connections' THEN names.connections
                            WHEN 'last_used' THEN (extract(epoch FROM names.last_used) * 1000)::bigint END AS rank
    FROM names
    JOIN domain ON domain.id = names.domain_id
    ORDER BY rank DESC NULLS LAST, domain.name, domain.id
    LIMIT :limit OFFSET :offset
)
SELECT totals.*, page.*
FROM totals
LEFT JOIN page ON true
ORDER BY page.rank DESC NULLS LAST, page.name, page.id;

-- name: domain
SELECT id, name, first_seen FROM domain WHERE id = :id AND deleted_at IS NULL;

-- name: domain_names
SELECT id, name FROM domain WHERE id = ANY (:ids::integer[]);

-- name: domain_groups
-- Of groups of domains: how many hosts used them, the five applications that used them most, and (raw tier) how the names
-- were found. `numbers` gives each domain its group.
WITH members AS (
    SELECT * FROM unnest(:ids::integer[], :numbers::integer[]) AS member (domain_id, number)
), cells AS MATERIALIZED (
    -- First, as several processes can do it, what is not so by GROUPING SETS.
    SELECT domain_id, host_id, app_id, domain_source, sum(bytes_in + bytes_out)::bigint AS bytes
    FROM counted
    GROUP BY 1, 2, 3, 4
), parts AS MATERIALIZED (
    SELECT number, app_id, domain_source, grouping(host_id) = 0 AS is_host, grouping(app_id) = 0 AS is_app,
           sum(bytes)::bigint AS bytes
    FROM cells
    JOIN members USING (domain_id)
    GROUP BY GROUPING SETS ((number, host_id), (number, app_id), (number, domain_source))
), user_lists AS (
    SELECT number, array_agg(app.id ORDER BY place) AS app_ids, array_agg(app.name ORDER BY place) AS app_names,
           array_agg(app.executable ORDER BY place) AS app_executables, array_agg(bytes ORDER BY place) AS app_bytes
    FROM (
        SELECT number, app_id, bytes, row_number() OVER (PARTITION BY number ORDER BY bytes DESC, app_id) AS place
        FROM parts
        WHERE is_app
    ) AS users
    JOIN app ON app.id = users.app_id
    WHERE place <= 5
    GROUP BY number
), others AS (
    SELECT number, count(*) FILTER (WHERE is_host) AS hosts,
           array_agg(domain_source ORDER BY bytes DESC, domain_source)
               FILTER (WHERE NOT is_host AND NOT is_app AND domain_source <> 0) AS sources
    FROM parts
    GROUP BY number
)
SELECT others.number, others.hosts, coalesce(others.sources, '{}') AS sources, user_lists.app_ids, user_lists.app_names,
       user_lists.app_executables, user_lists.app_bytes
FROM others
JOIN user_lists USING (number);
