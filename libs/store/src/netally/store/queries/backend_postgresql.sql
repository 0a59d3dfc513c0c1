-- What only plain PostgreSQL does this way.

-- name: refresh_rollup
-- Within a transaction that sees one state of the database. Tells how many rows were written.
SELECT refresh_rollup(:relation, :start, :end);
