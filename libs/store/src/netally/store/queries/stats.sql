-- name: timeline
-- Bytes of each bucket and band. Bands beyond the first `top` by bytes have id -1; without a split the only id is 0.
-- Of thousands of domains not all are counted in every bucket, but the `domains` that largest_domains tells.
-- Buckets are counted from the epoch, or lie between `edges`, where a row counts whose middle lies in it.
WITH parts AS (
    -- First by the tier's own buckets: to find the one between edges is dear, and need not be done for every row.
    SELECT CASE WHEN :edges::timestamptz[] IS NULL THEN date_bin(make_interval(secs => :bucket_seconds::integer), bucket, 'epoch')
                ELSE bucket END AS bucket,
           CASE :split::text WHEN 'app' THEN app_id WHEN 'host' THEN host_id WHEN 'protocol' THEN protocol
                             WHEN 'domain' THEN CASE WHEN domain_id = ANY (:domains::integer[]) THEN domain_id ELSE -1 END
                             ELSE 0 END AS id,
           sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out
    FROM counted
    GROUP BY 1, 2
), grid AS MATERIALIZED (
    SELECT CASE WHEN :edges IS NULL THEN bucket
                ELSE (:edges)[width_bucket(bucket + make_interval(secs => :middle::integer), :edges)] END AS bin,
           id, sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out
    FROM parts
    GROUP BY 1, 2
), ranked AS (
    SELECT id, row_number() OVER (ORDER BY id = -1, sum(bytes_in + bytes_out) DESC, id) AS place
    FROM grid
    GROUP BY id
), bands AS (
    SELECT place, id,
           CASE :split WHEN 'app' THEN (SELECT name FROM app WHERE app.id = ranked.id)
                       WHEN 'domain' THEN (SELECT name FROM domain WHERE domain.id = ranked.id)
                       WHEN 'host' THEN (SELECT name FROM host WHERE host.id = ranked.id) END AS name
    FROM ranked
    WHERE place <= :top::integer AND id <> -1
), sums AS (
    SELECT least(ranked.place, :top + 1) AS place, grid.bin, sum(grid.bytes_in)::bigint AS bytes_in,
           sum(grid.bytes_out)::bigint AS bytes_out
    FROM grid
    JOIN ranked ON ranked.id = grid.id
    GROUP BY 1, 2
)
SELECT sums.place, coalesce(bands.id, -1) AS band, coalesce(bands.name, '') AS name, sums.bin, sums.bytes_in, sums.bytes_out
FROM sums
LEFT JOIN bands ON bands.place = sums.place
ORDER BY sums.place, sums.bin;

-- name: largest_domains
SELECT domain_id AS id FROM counted GROUP BY 1 ORDER BY sum(bytes_in + bytes_out) DESC, 1 LIMIT :top;

-- name: bytes_by_bucket
-- Bytes of each bucket of `bucket_seconds` counted from the epoch.
SELECT date_bin(make_interval(secs => :bucket_seconds::integer), bucket, 'epoch') AS bin, sum(bytes_in)::bigint AS bytes_in,
       sum(bytes_out)::bigint AS bytes_out
FROM counted
GROUP BY 1;
