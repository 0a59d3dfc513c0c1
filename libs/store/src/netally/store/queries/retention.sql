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

-- name: hold_off_writers!
-- To the end of the transaction; those that write now are waited for.
SELECT pg_advisory_xact_lock(hashtextextended('netally.purge', 0));

-- name: count_purge!
UPDATE purges SET number = number + 1;

-- name: living_hosts
SELECT id FROM host WHERE id = ANY (:ids::integer[]) AND deleted_at IS NULL;

-- name: living_apps
SELECT id FROM app WHERE id = ANY (:ids::integer[]) AND deleted_at IS NULL;

-- name: living_domains
SELECT id FROM domain WHERE id = ANY (:ids::integer[]) AND deleted_at IS NULL;

-- name: retire_hosts!
-- No writer finds the ids any more. The names stay until the rows are gone, so that an interrupted purge can be repeated.
UPDATE host SET deleted_at = :now WHERE id = ANY (:ids::integer[]);

-- name: retire_apps!
UPDATE app SET deleted_at = :now WHERE id = ANY (:ids::integer[]);

-- name: retire_domains!
UPDATE domain SET deleted_at = :now WHERE id = ANY (:ids::integer[]);

-- name: note_stale_totals!
-- Buckets of the tiers whose traffic totals hold the bytes of a domain.
INSERT INTO stale_total (tier, bucket)
SELECT '1h', bucket FROM flow_1h WHERE domain_id = :gone GROUP BY bucket
UNION ALL
SELECT '1d', bucket FROM flow_1d WHERE domain_id = :gone GROUP BY bucket
ON CONFLICT DO NOTHING;

-- name: stale_totals
SELECT tier, bucket FROM stale_total;

-- name: remove_stale_totals!
DELETE FROM stale_total WHERE tier = :tier AND bucket = ANY (:buckets::timestamptz[]);

-- name: forget_host!
UPDATE host SET name = '' WHERE id = :gone;

-- name: forget_agent!
DELETE FROM agent WHERE host_id = :gone;

-- name: forget_ledger!
DELETE FROM ledger WHERE host_id = :gone;

-- name: forget_refused!
DELETE FROM refused WHERE host_id = :gone;

-- name: forget_app!
UPDATE app SET name = '', executable = '', username = '', unit = '', container = '' WHERE id = :gone;

-- name: forget_domain!
UPDATE domain SET name = '' WHERE id = :gone;
