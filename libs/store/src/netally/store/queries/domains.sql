-- name: domains
-- The first domains of a range in the order asked for, each with the five applications that used it most and (raw
-- tier) how the name was found; every row carries the totals of all.
WITH parts AS MATERIALIZED (
    SELECT domain_id, app_id, domain_source, grouping(host_id) = 0 AS is_host, grouping(app_id) = 0 AS is_app,
           sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
           sum(connections)::bigint AS connections, max(last_used) AS last_used
    FROM flow_tiers
    WHERE tier = :tier AND bucket >= :start AND bucket < :end
      AND (:hosts::integer[] IS NULL OR host_id = ANY (:hosts))
      AND scope = ANY (:scopes) AND (:both_sides::boolean OR scope <> 4 OR role <> 2)
    GROUP BY GROUPING SETS ((domain_id, host_id), (domain_id, app_id), (domain_id, domain_source))
), names AS (
    SELECT domain_id, sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
           sum(connections)::bigint AS connections, count(*) AS hosts, max(last_used) AS last_used
    FROM parts
    WHERE is_host
    GROUP BY domain_id
), page AS (
    SELECT domain.id, domain.name, names.bytes_in, names.bytes_out, names.connections, names.hosts, names.last_used,
           count(*) OVER () AS all_count,
           sum(names.bytes_in) OVER ()::bigint AS all_bytes_in, sum(names.bytes_out) OVER ()::bigint AS all_bytes_out,
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
    LIMIT :limit
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
           array_agg(app.name ORDER BY users.place) AS app_names, array_agg(users.bytes ORDER BY users.place) AS app_bytes
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
SELECT page.*, user_lists.app_ids, user_lists.app_names, user_lists.app_bytes,
       coalesce(source_lists.sources, '{}') AS sources
FROM page
JOIN user_lists ON user_lists.domain_id = page.id
LEFT JOIN source_lists ON source_lists.domain_id = page.id
ORDER BY page.place;
