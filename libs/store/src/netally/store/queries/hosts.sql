-- Hosts, what their agents last said, and what they measured.

-- name: fleet
-- Every known host with the state of its agent; null columns where it never reported.
SELECT host.id, host.name, host.kind, agent.mode, agent.mode_reason, agent.version, agent.interval_seconds,
       agent.paused, agent.reported_at, agent.spool_batches, agent.lost_batches, agent.ring_drops,
       agent.interfaces::text AS interfaces, committed.complete_until,
       greatest(agent.received_at, committed.updated_at) AS heard_at
FROM host
LEFT JOIN agent ON agent.host_id = host.id
LEFT JOIN (
    SELECT host_id, max(complete_until) AS complete_until, max(updated_at) AS updated_at FROM ledger GROUP BY host_id
) AS committed ON committed.host_id = host.id
WHERE host.id <> 0 AND host.deleted_at IS NULL
ORDER BY host.name;

-- name: host_traffic
-- Bytes of each host in the range. A host's own figures hold its side of peer flows whatever its role.
SELECT host_id, sum(bytes_in)::bigint AS bytes_in, sum(bytes_out)::bigint AS bytes_out
FROM flow_tiers
WHERE tier = :tier AND bucket >= :start AND bucket < :end
  AND (:hosts::integer[] IS NULL OR host_id = ANY (:hosts))
  AND scope = ANY (:scopes)
GROUP BY host_id;
