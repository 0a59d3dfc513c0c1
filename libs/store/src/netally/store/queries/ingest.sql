-- The transaction of a group of batches: a look at the ledger, rows, ledger.

-- name: read_ledgers
SELECT host_id, epoch, low_water, complete_until
FROM ledger
WHERE (host_id, epoch) IN (SELECT * FROM unnest(:host_ids::integer[], :epochs::text[]));

-- name: lock_ledgers
-- Locks are taken in the order of the key, so that several aggregators never wait for each other in a ring.
SELECT host_id, epoch, low_water, complete_until
FROM ledger
WHERE (host_id, epoch) IN (SELECT * FROM unnest(:host_ids::integer[], :epochs::text[]))
ORDER BY host_id, epoch
FOR UPDATE;

-- name: add_ledgers!
INSERT INTO ledger (host_id, epoch)
SELECT * FROM unnest(:host_ids::integer[], :epochs::text[]) AS wanted (host_id, epoch)
ORDER BY 1, 2
ON CONFLICT DO NOTHING;

-- name: ledger_runs
-- They are sure only while the ledgers are locked.
SELECT host_id, epoch, first_sequence, last_sequence, interval_end, since
FROM ledger_ahead
WHERE (host_id, epoch) IN (SELECT * FROM unnest(:host_ids::integer[], :epochs::text[]))
ORDER BY host_id, epoch, first_sequence;

-- name: update_ledgers!
UPDATE ledger
SET low_water = new.low_water, complete_until = new.complete_until, updated_at = :now
FROM unnest(:host_ids::integer[], :epochs::text[], :low_waters::bigint[], :complete_untils::timestamptz[])
     AS new (host_id, epoch, low_water, complete_until)
WHERE ledger.host_id = new.host_id AND ledger.epoch = new.epoch;

-- name: remove_ledger_runs!
DELETE FROM ledger_ahead
WHERE (host_id, epoch) IN (SELECT * FROM unnest(:host_ids::integer[], :epochs::text[]));

-- name: add_ledger_runs!
INSERT INTO ledger_ahead (host_id, epoch, first_sequence, last_sequence, interval_end, since)
SELECT * FROM unnest(:host_ids::integer[], :epochs::text[], :firsts::bigint[], :lasts::bigint[],
                     :interval_ends::timestamptz[], :sinces::timestamptz[]);

-- name: add_refused!
INSERT INTO refused AS old (host_id, reason, day, rows, bytes)
SELECT host_id, reason, (:now::timestamptz AT TIME ZONE 'UTC')::date, rows, bytes
FROM unnest(:host_ids::integer[], :reasons::text[], :rows::bigint[], :bytes::bigint[])
     AS new (host_id, reason, rows, bytes)
ORDER BY 1, 2
ON CONFLICT (host_id, reason, day) DO UPDATE SET rows = old.rows + excluded.rows, bytes = old.bytes + excluded.bytes;

-- name: make_day_partitions
SELECT make_day_partitions(:day::date);
