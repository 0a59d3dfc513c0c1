-- What only TimescaleDB does this way.

-- name: refresh_continuous_aggregate!
-- Never within a transaction.
CALL refresh_continuous_aggregate((:relation::text)::regclass, :start::timestamptz, :end::timestamptz);

-- name: compressible
-- Chunks that ended before the time given for their tier and are not in the columnstore, or only in part (late rows).
SELECT part::text AS part
FROM tier_part
JOIN unnest(:tiers::text[], :befores::timestamptz[]) AS wanted (tier, before) USING (tier)
WHERE upper <= before AND (NOT is_compressed OR is_partial)
ORDER BY upper
LIMIT :limit;

-- name: compress!
SELECT compress_chunk((:part::text)::regclass);
