-- Names for the completion of filters. The pattern is a prefix for LIKE.

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
