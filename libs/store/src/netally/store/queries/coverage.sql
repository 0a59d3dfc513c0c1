-- What was measured: tells a real zero from a gap.

-- name: coverage_by_host
SELECT host_id, sum(measured_ms)::bigint AS measured_ms
FROM coverage_tiers
WHERE tier = :tier AND bucket >= :start AND bucket < :end
GROUP BY host_id;

-- name: coverage_by_bucket
-- Buckets of a day or longer are days of the time zone, shorter ones are counted from the epoch.
SELECT CASE WHEN :bucket_seconds::integer >= 86400 THEN date_trunc('day', bucket, :timezone)
            ELSE date_bin(make_interval(secs => :bucket_seconds::integer), bucket, 'epoch') END AS bin,
       host_id, sum(measured_ms)::bigint AS measured_ms
FROM coverage_tiers
WHERE tier = :tier AND bucket >= :start AND bucket < :end
GROUP BY 1, 2;
