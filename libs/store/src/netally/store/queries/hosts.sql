-- Hosts, what their agents last said, and what they measured.

-- name: fleet
-- The hosts with the state of their agents; null columns where one never reported. `visible` names those that the
-- caller may see, null is for all.
SELECT host.id, host.name, host.kind, agent.mode, agent.mode_reason, agent.version, agent.interval_seconds,
       agent.paused, agent.reported_at, agent.spool_batches, agent.lost_batches, agent.ring_drops,
       agent.interfaces::text AS interfaces, agent.clock_offset_ms, committed.complete_until,
       greatest(agent.received_at, committed.updated_at) AS heard_at
FROM host
LEFT JOIN agent ON agent.host_id = host.id
LEFT JOIN (
    SELECT host_id, max(complete_until) AS complete_until, max(updated_at) AS updated_at FROM ledger GROUP BY host_id
) AS committed ON committed.host_id = host.id
WHERE host.id <> 0 AND host.deleted_at IS NULL AND (:visible::text[] IS NULL OR host.name = ANY (:visible))
ORDER BY host.name;

-- name: host
SELECT id, first_seen FROM host WHERE id = :id AND id <> 0 AND deleted_at IS NULL;

-- name: agent
SELECT started_at, spool_bytes, paused, interval_seconds, settings_version, interfaces::text AS interfaces
FROM agent
WHERE host_id = :id;

-- name: host_names
SELECT id, name FROM host WHERE id = ANY (:ids::integer[]);

-- name: tally_by_cause
-- Where the bytes of a host's interface counters went.
SELECT interface, cause, sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
       sum(packets_in)::bigint AS packets_in, sum(packets_out)::bigint AS packets_out
FROM (
    SELECT 'raw' AS tier, time AS bucket, host_id, interface, cause, bytes_in, bytes_out, packets_in, packets_out
    FROM tally
    UNION ALL
    SELECT '1m', bucket, host_id, interface, cause, bytes_in, bytes_out, packets_in, packets_out FROM tally_1m
    UNION ALL
    SELECT '1h', bucket, host_id, interface, cause, bytes_in, bytes_out, packets_in, packets_out FROM tally_1h
    UNION ALL
    SELECT '1d', bucket, host_id, interface, cause, bytes_in, bytes_out, packets_in, packets_out FROM tally_1d
) AS tally_tiers
WHERE tier = :tier AND bucket >= :start AND bucket < :end AND host_id = :host_id
GROUP BY interface, cause
ORDER BY interface, cause;

-- name: tally_of_fleet
-- Where the bytes of all interface counters went, by host. Loopback is outside totals.
SELECT host_id, cause, sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out,
       sum(packets_in)::bigint AS packets_in, sum(packets_out)::bigint AS packets_out
FROM (
    SELECT 'raw' AS tier, time AS bucket, host_id, interface, cause, bytes_in, bytes_out, packets_in, packets_out
    FROM tally
    UNION ALL
    SELECT '1m', bucket, host_id, interface, cause, bytes_in, bytes_out, packets_in, packets_out FROM tally_1m
    UNION ALL
    SELECT '1h', bucket, host_id, interface, cause, bytes_in, bytes_out, packets_in, packets_out FROM tally_1h
    UNION ALL
    SELECT '1d', bucket, host_id, interface, cause, bytes_in, bytes_out, packets_in, packets_out FROM tally_1d
) AS tally_tiers
WHERE tier = :tier AND bucket >= :start AND bucket < :end AND host_id = ANY (:hosts::integer[])
  AND interface <> ALL (:loopbacks::text[])
GROUP BY host_id, cause
ORDER BY host_id, cause;
