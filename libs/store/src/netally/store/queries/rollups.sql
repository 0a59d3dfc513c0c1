-- Refresh of the rollups, on both backends. What differs is in backend_*.sql and in the functions of the migrations.

-- name: tiers
SELECT name, watermark, dropped_before, oldest_part, tier_oldest_part(name) AS oldest FROM tier;

-- name: try_maintenance_lock
-- Held by the session: one aggregator at a time maintains the history.
SELECT pg_try_advisory_lock(hashtextextended('netally.maintenance', 0));

-- name: maintenance_lock!
SELECT pg_advisory_lock(hashtextextended('netally.maintenance', 0));

-- name: maintenance_unlock!
SELECT pg_advisory_unlock(hashtextextended('netally.maintenance', 0));

-- name: add_touched!
INSERT INTO touched (tier, bucket) SELECT :tier, unnest(:buckets::timestamptz[]);

-- name: touched
SELECT bucket, array_agg(id) AS ids FROM touched WHERE tier = :tier GROUP BY bucket;

-- name: touched_ids
SELECT id FROM touched WHERE tier = :tier AND bucket >= :start AND bucket < :end;

-- name: remove_touched!
DELETE FROM touched WHERE id = ANY (:ids::bigint[]);

-- name: oldest_touched
SELECT min(bucket) FROM touched WHERE tier = :tier;

-- name: outstanding
SELECT tier.name, count(DISTINCT touched.bucket) AS buckets
FROM tier
LEFT JOIN touched ON touched.tier = tier.name AND touched.bucket < tier.watermark
WHERE tier.name <> 'raw'
GROUP BY tier.name;

-- name: set_watermark!
UPDATE tier SET watermark = greatest(watermark, :watermark) WHERE name = :tier;

-- name: dropped_before
-- What retention has dropped of a tier lies before this.
SELECT dropped_before FROM tier WHERE name = :tier;

-- name: set_dropped_before!
UPDATE tier SET dropped_before = greatest(dropped_before, :before) WHERE name = :tier;

-- name: set_oldest_part!
UPDATE tier SET oldest_part = :oldest WHERE name = :tier;

-- name: tier_rows
SELECT tier_rows(:tier, :start, :end);
