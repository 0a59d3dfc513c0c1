-- Retention and purge, on both backends. What differs is in the functions of the migrations.

-- name: tier_droppable
SELECT bound, bytes FROM tier_droppable(:tier, :before);

-- name: limit_lock_wait
-- To the end of the transaction. Whoever waits for a lock holds up all that come after him.
SELECT set_config('lock_timeout', :milliseconds, true);

-- name: drop_tier
SELECT drop_tier(:tier, :before);

-- name: tier_oldest
SELECT tier_oldest(:tier);

-- name: tier_sizes
SELECT tier, bytes, rows FROM tier_size;

-- name: purge_rows
SELECT relation, rows FROM purge_rows(:dimension, :gone);

-- name: domain_buckets
-- Buckets of the tiers whose traffic totals hold the bytes of a domain.
SELECT '1h' AS tier, bucket FROM flow_1h WHERE domain_id = :gone GROUP BY bucket
UNION ALL
SELECT '1d', bucket FROM flow_1d WHERE domain_id = :gone GROUP BY bucket;

-- name: forget_host!
UPDATE host SET name = '', deleted_at = :now WHERE id = :gone AND deleted_at IS NULL;

-- name: forget_agent!
DELETE FROM agent WHERE host_id = :gone;

-- name: forget_ledger!
DELETE FROM ledger WHERE host_id = :gone;

-- name: forget_refused!
DELETE FROM refused WHERE host_id = :gone;

-- name: forget_app!
UPDATE app SET name = '', executable = '', username = '', unit = '', container = '', deleted_at = :now
WHERE id = :gone AND deleted_at IS NULL;

-- name: forget_domain!
UPDATE domain SET name = '', deleted_at = :now WHERE id = :gone AND deleted_at IS NULL;
