-- Names and values for the completion of filters. The pattern is a prefix for LIKE.

-- name: host_names_with_prefix
SELECT DISTINCT name FROM host WHERE name ILIKE :pattern AND name <> '' AND deleted_at IS NULL ORDER BY name LIMIT :limit;

-- name: app_names_with_prefix
SELECT DISTINCT name FROM app WHERE name ILIKE :pattern AND name <> '' AND deleted_at IS NULL ORDER BY name LIMIT :limit;

-- name: app_executables_with_prefix
SELECT DISTINCT executable AS name FROM app
WHERE executable ILIKE :pattern AND executable <> '' AND deleted_at IS NULL ORDER BY name LIMIT :limit;

-- name: app_usernames_with_prefix
SELECT DISTINCT username AS name FROM app
WHERE username ILIKE :pattern AND username <> '' AND deleted_at IS NULL ORDER BY name LIMIT :limit;

-- name: app_units_with_prefix
SELECT DISTINCT unit AS name FROM app
WHERE unit ILIKE :pattern AND unit <> '' AND deleted_at IS NULL ORDER BY name LIMIT :limit;

-- name: app_containers_with_prefix
SELECT DISTINCT container AS name FROM app
WHERE container ILIKE :pattern AND container <> '' AND deleted_at IS NULL ORDER BY name LIMIT :limit;

-- name: domain_names_with_prefix
SELECT DISTINCT name FROM domain WHERE name LIKE :pattern AND name <> '' AND deleted_at IS NULL ORDER BY name LIMIT :limit;

-- name: names_by_bytes
-- The names of a field (host, app, executable, user, unit, container, domain, site) that have traffic, most bytes first.
SELECT names.value AS name, sum(used.bytes)::bigint AS bytes
FROM (
    SELECT CASE :field::text WHEN 'host' THEN host_id WHEN 'domain' THEN domain_id WHEN 'site' THEN site_id ELSE app_id END AS id,
           sum(bytes_in + bytes_out) AS bytes
    FROM counted
    GROUP BY 1
) AS used
JOIN (
    SELECT id, name AS value FROM host WHERE :field = 'host'
    UNION ALL
    SELECT id, name FROM domain WHERE :field IN ('domain', 'site')
    UNION ALL
    SELECT id, CASE :field WHEN 'app' THEN name WHEN 'executable' THEN executable WHEN 'user' THEN username
                           WHEN 'unit' THEN unit WHEN 'container' THEN container END
    FROM app
    WHERE :field NOT IN ('host', 'domain', 'site')
) AS names USING (id)
WHERE names.value <> '' AND names.value ILIKE :pattern
GROUP BY names.value
ORDER BY bytes DESC, name
LIMIT :limit;
