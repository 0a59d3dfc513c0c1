-- What only TimescaleDB does this way.

-- name: refresh_continuous_aggregate!
-- Never within a transaction.
CALL refresh_continuous_aggregate((:relation::text)::regclass, :start::timestamptz, :end::timestamptz);

-- name: lift_decompression_limit!
-- A refresh of a compressed bucket unpacks it; for this session only, until restored.
SELECT set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', false);

-- name: restore_decompression_limit!
RESET timescaledb.max_tuples_decompressed_per_dml_transaction;

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
