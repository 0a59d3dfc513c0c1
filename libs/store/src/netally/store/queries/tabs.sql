-- Browsers: their reports, the time spent on sites, the traffic that sites caused.

-- name: add_tab_reports
-- Those of the reports that were not stored before.
INSERT INTO tab_report (host_id, id, received_at)
SELECT host_id, id, :received_at::timestamptz FROM unnest(:host_ids::integer[], :ids::text[]) AS new (host_id, id)
ON CONFLICT DO NOTHING
RETURNING host_id, id;

-- name: forget_tab_reports!
DELETE FROM tab_report WHERE received_at < :before;

-- name: note_browsers!
INSERT INTO paired_browser (token_id, browser, last_report, sends_pairs)
SELECT * FROM unnest(:tokens::text[], :browsers::text[], :last_reports::timestamptz[], :pairs::boolean[])
ON CONFLICT (token_id) DO UPDATE
SET browser = excluded.browser, last_report = excluded.last_report, sends_pairs = excluded.sends_pairs
WHERE paired_browser.last_report <= excluded.last_report;

-- name: paired_browsers
-- Pairings that may still be used, of hosts that the caller may see (null is for all); `token` picks one.
SELECT token.id, token.name, token.hosts[1] AS host, browser, last_report, coalesce(sends_pairs, false) AS sends_pairs
FROM token
LEFT JOIN paired_browser ON token_id = token.id
WHERE role = 'browser' AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now::timestamptz)
      AND (:visible::text[] IS NULL OR token.hosts[1] = ANY (:visible)) AND (:token::text IS NULL OR token.id = :token)
ORDER BY last_report DESC NULLS LAST, token.id;

-- name: site_seconds
-- Seconds in the active tab by host, browser and site, from the tier; of one site when `site` says which.
SELECT host_id, browser, site_id, sum(seconds)::bigint AS seconds
FROM (
    SELECT host_id, browser, site_id, seconds FROM tab_activity
    WHERE :tier::text = 'raw' AND time >= :start::timestamptz AND time < :end::timestamptz
    UNION ALL
    SELECT host_id, browser, site_id, seconds FROM tab_activity_1m
    WHERE :tier = '1m' AND bucket >= :start AND bucket < :end
    UNION ALL
    SELECT host_id, browser, site_id, seconds FROM tab_activity_1h
    WHERE :tier = '1h' AND bucket >= :start AND bucket < :end
    UNION ALL
    SELECT host_id, browser, site_id, seconds FROM tab_activity_1d
    WHERE :tier = '1d' AND bucket >= :start AND bucket < :end
) AS activity
WHERE (:hosts::integer[] IS NULL OR host_id = ANY (:hosts)) AND (:site::integer IS NULL OR site_id = :site)
GROUP BY 1, 2, 3;

-- name: site_traffic
SELECT host_id, app_id, site_id, sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out
FROM counted
GROUP BY 1, 2, 3;

-- name: domains_and_sites
-- What a site caused, by domain, and what sites caused of a domain's traffic.
SELECT domain_id, site_id, sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out
FROM counted
WHERE site_id = :id OR domain_id = :id
GROUP BY 1, 2;
