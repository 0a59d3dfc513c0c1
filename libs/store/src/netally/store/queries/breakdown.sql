-- Traffic by one or two dimensions. Where there is no second one its ids are 0.

-- name: breakdown
-- A page of the groups in the order asked for, with the totals of all in every row (the only row has null columns when
-- the page is empty).
WITH groups AS MATERIALIZED (
    SELECT CASE :first::text WHEN 'host' THEN host_id WHEN 'app' THEN app_id WHEN 'domain' THEN domain_id
                             WHEN 'site' THEN site_id WHEN 'protocol' THEN protocol WHEN 'port' THEN port_class
                             WHEN 'scope' THEN scope WHEN 'role' THEN role END AS first,
           CASE :second::text WHEN 'host' THEN host_id WHEN 'app' THEN app_id WHEN 'domain' THEN domain_id
                              WHEN 'site' THEN site_id WHEN 'protocol' THEN protocol WHEN 'port' THEN port_class
                              WHEN 'scope' THEN scope WHEN 'role' THEN role ELSE 0 END AS second,
           sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
           sum(packets_in)::bigint AS packets_in, sum(packets_out)::bigint AS packets_out,
           sum(connections)::bigint AS connections, max(last_used) AS last_used
    FROM counted
    GROUP BY 1, 2
), totals AS (
    SELECT count(*) AS all_count, coalesce(sum(bytes_in), 0)::bigint AS all_bytes_in,
           coalesce(sum(bytes_out), 0)::bigint AS all_bytes_out
    FROM groups
), page AS (
    SELECT first AS id, groups.*,
           CASE :sort::text WHEN 'bytes' THEN bytes_in + bytes_out
                            WHEN 'bytes_in' THEN bytes_in
                            WHEN 'bytes_out' THEN bytes_out
                            WHEN 'connections' THEN connections
                            WHEN 'last_used' THEN (extract(epoch FROM last_used) * 1000)::bigint END AS rank
    FROM groups
    ORDER BY rank DESC, first, second
    LIMIT :limit OFFSET :offset
)
SELECT totals.*, page.*
FROM totals
LEFT JOIN page ON true
ORDER BY page.rank DESC, page.first, page.second;

-- name: breakdown_timeline
-- Bytes of each bucket (as in statement timeline) and group of `firsts` and `seconds`, by its place among them from 1 on;
-- of all other groups together by place 0.
SELECT coalesce(member.place, 0)::integer AS place,
       CASE WHEN :edges::timestamptz[] IS NULL THEN date_bin(make_interval(secs => :bucket_seconds::integer), bucket, 'epoch')
            ELSE (:edges)[width_bucket(bucket + make_interval(secs => :middle::integer), :edges)] END AS bin,
       sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out
FROM (
    SELECT CASE :first::text WHEN 'host' THEN host_id WHEN 'app' THEN app_id WHEN 'domain' THEN domain_id
                             WHEN 'site' THEN site_id WHEN 'protocol' THEN protocol WHEN 'port' THEN port_class
                             WHEN 'scope' THEN scope WHEN 'role' THEN role END AS first,
           CASE :second::text WHEN 'host' THEN host_id WHEN 'app' THEN app_id WHEN 'domain' THEN domain_id
                              WHEN 'site' THEN site_id WHEN 'protocol' THEN protocol WHEN 'port' THEN port_class
                              WHEN 'scope' THEN scope WHEN 'role' THEN role ELSE 0 END AS second,
           bucket, bytes_in, bytes_out
    FROM counted
) AS row
LEFT JOIN unnest(:firsts::integer[], :seconds::integer[]) WITH ORDINALITY AS member (first, second, place)
       ON member.first = row.first AND member.second = row.second
GROUP BY 1, 2;
