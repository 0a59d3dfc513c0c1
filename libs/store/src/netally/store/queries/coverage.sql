-- What was measured: tells a real zero from a gap.

-- name: coverage_by_host
-- Of several ranges of a tier, by their place in `starts` and `ends` from 1 on; `start` and `end` hold them all.
SELECT span.place::integer AS place, host_id, sum(measured_ms)::bigint AS measured_ms
FROM coverage_tiers
JOIN unnest(:starts::timestamptz[], :ends::timestamptz[]) WITH ORDINALITY AS span (start, "end", place)
  ON bucket >= span.start AND bucket < span."end"
WHERE tier = :tier AND bucket >= :start AND bucket < :end AND host_id = ANY (:hosts::integer[])
GROUP BY 1, 2;

-- name: coverage_by_bucket
-- Buckets as in statement timeline; of each host, or of all together by host 0.
SELECT CASE WHEN :edges::timestamptz[] IS NULL THEN date_bin(make_interval(secs => :bucket_seconds::integer), bucket, 'epoch')
            ELSE (:edges)[width_bucket(bucket + make_interval(secs => :middle::integer), :edges)] END AS bin,
       CASE WHEN :by_host::boolean THEN host_id ELSE 0 END AS host_id, sum(measured_ms)::bigint AS measured_ms, bool_or(paused) AS paused
FROM coverage_tiers
WHERE tier = :tier AND bucket >= :start AND bucket < :end AND host_id = ANY (:hosts::integer[])
GROUP BY 1, 2;

-- name: measured_by_bucket
-- Measured milliseconds of the hosts together.
SELECT date_bin(make_interval(secs => :bucket_seconds::integer), bucket, 'epoch') AS bin,
       sum(measured_ms)::bigint AS measured_ms
FROM coverage_tiers
WHERE tier = :tier AND bucket >= :start AND bucket < :end AND host_id = ANY (:hosts::integer[])
GROUP BY 1;

-- name: tiers_held
-- From when on a tier holds everything.
SELECT name, dropped_before FROM tier;
