-- What the database is and was made as.

-- name: server_version
SELECT current_setting('server_version_num')::integer AS number, current_setting('server_version') AS text;

-- name: connection_is_encrypted
SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false);

-- name: is_migrated
SELECT to_regclass('deployment') IS NOT NULL;

-- name: deployment
SELECT backend, timezone FROM deployment;

-- name: read_alone!
-- Until the transaction ends no query starts other processes.
SET LOCAL max_parallel_workers_per_gather = 0;

-- name: migrations_applied
SELECT version FROM schema_migrations ORDER BY version;

-- name: timezone_is_known
SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = :name);

-- name: timescaledb_is_preloaded
-- The licence is a setting of the preloaded library; without the library it is null.
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
   AND coalesce(current_setting('timescaledb.license', true), '') = 'timescale';

-- name: about
SELECT backend, timezone, created_at, current_setting('server_version') AS server_version,
       (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS timescaledb_version
FROM deployment;

-- name: tiers_about
SELECT name, nullif(dropped_before, 'epoch') AS dropped_before,
       CASE WHEN name <> 'raw' THEN nullif(watermark, 'epoch') END AS watermark
FROM tier
ORDER BY array_position(ARRAY['raw', '1m', '1h', '1d'], name);
