-- name: timeline
-- Bytes of each bucket and band. Bands beyond the first `top` by bytes have id -1; without a split the only id is 0.
-- Buckets are counted from the epoch, or lie between `edges`, where a row counts whose middle lies in it.
WITH grid AS MATERIALIZED (
    SELECT CASE WHEN :edges::timestamptz[] IS NULL THEN date_bin(make_interval(secs => :bucket_seconds::integer), bucket, 'epoch')
                ELSE (:edges)[width_bucket(bucket + make_interval(secs => :middle::integer), :edges)] END AS bin,
           CASE :split::text WHEN 'app' THEN app_id WHEN 'domain' THEN domain_id WHEN 'host' THEN host_id
                             WHEN 'protocol' THEN protocol ELSE 0 END AS id,
           sum(bytes_in) AS bytes_in, sum(bytes_out) AS bytes_out
    FROM counted
    GROUP BY 1, 2
), ranked AS (
    SELECT id, row_number() OVER (ORDER BY sum(bytes_in + bytes_out) DESC, id) AS place
    FROM grid
    GROUP BY id
), bands AS (
    SELECT ranked.id, least(ranked.place, :top::integer + 1) AS place,
           CASE WHEN ranked.place <= :top THEN ranked.id ELSE -1 END AS band,
           CASE WHEN ranked.place > :top THEN ''
                WHEN :split = 'app' THEN (SELECT name FROM app WHERE app.id = ranked.id)
                WHEN :split = 'domain' THEN (SELECT name FROM domain WHERE domain.id = ranked.id)
                WHEN :split = 'host' THEN (SELECT name FROM host WHERE host.id = ranked.id)
                ELSE '' END AS name
    FROM ranked
)
SELECT bands.place, bands.band, bands.name, grid.bin, sum(grid.bytes_in)::bigint AS bytes_in,
       sum(grid.bytes_out)::bigint AS bytes_out
FROM grid
JOIN bands ON bands.id = grid.id
GROUP BY bands.place, bands.band, bands.name, grid.bin
ORDER BY bands.place, grid.bin;

-- name: bytes_by_bucket
-- Bytes of each bucket of `bucket_seconds` counted from the epoch.
SELECT date_bin(make_interval(secs => :bucket_seconds::integer), bucket, 'epoch') AS bin, sum(bytes_in)::bigint AS bytes_in,
       sum(bytes_out)::bigint AS bytes_out
FROM counted
GROUP BY 1;
