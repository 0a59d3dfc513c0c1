-- State of the agents, as they tell it.

-- name: set_agents!
-- One row a host at most in each call. A report that was overtaken by a newer one changes nothing.
INSERT INTO agent AS old
SELECT host_id, reported_at, received_at, started_at, version, mode, mode_reason, interval_seconds, paused, epoch,
       sequence, spool_batches, spool_bytes, lost_batches, ring_drops, settings_version, interfaces, clock_offset_ms
FROM unnest(:host_ids::integer[], :reported_ats::timestamptz[], :received_ats::timestamptz[], :started_ats::timestamptz[],
            :versions::text[], :modes::text[], :mode_reasons::text[], :intervals::integer[], :pauseds::boolean[],
            :epochs::text[], :sequences::bigint[], :spool_batches::bigint[], :spool_bytes::bigint[],
            :lost_batches::bigint[], :ring_drops::bigint[], :settings_versions::bigint[], :interfaces::jsonb[],
            :clock_offsets::bigint[])
     AS new (host_id, reported_at, received_at, started_at, version, mode, mode_reason, interval_seconds, paused, epoch,
             sequence, spool_batches, spool_bytes, lost_batches, ring_drops, settings_version, interfaces,
             clock_offset_ms)
ORDER BY host_id
ON CONFLICT (host_id) DO UPDATE
SET reported_at = excluded.reported_at, received_at = excluded.received_at, started_at = excluded.started_at,
    version = excluded.version, mode = excluded.mode, mode_reason = excluded.mode_reason,
    interval_seconds = excluded.interval_seconds, paused = excluded.paused, epoch = excluded.epoch,
    sequence = excluded.sequence, spool_batches = excluded.spool_batches, spool_bytes = excluded.spool_bytes,
    lost_batches = excluded.lost_batches, ring_drops = excluded.ring_drops,
    settings_version = excluded.settings_version, interfaces = excluded.interfaces,
    clock_offset_ms = excluded.clock_offset_ms
WHERE excluded.received_at >= old.received_at;

-- name: set_host_kinds!
UPDATE host SET kind = new.kind
FROM unnest(:host_ids::integer[], :kinds::text[]) AS new (host_id, kind)
WHERE host.id = new.host_id AND host.kind <> new.kind;

-- name: agent_interfaces
-- Interfaces of the agents that have reported since a time.
SELECT agent.host_id, agent.interfaces::text AS interfaces
FROM agent JOIN host ON host.id = agent.host_id
WHERE agent.received_at >= :since::timestamptz AND host.kind = 'agent' AND host.deleted_at IS NULL
ORDER BY agent.host_id;

-- name: clock_offsets
-- Milliseconds by which each agent's clock is ahead of the bus's, as of its last report.
SELECT host_id, clock_offset_ms FROM agent WHERE clock_offset_ms IS NOT NULL ORDER BY host_id;

-- name: refused
-- What of these hosts was refused or moved in time since a day (of receipt, UTC), by reason: too_old, future, invalid.
SELECT host_id, reason, sum(rows)::bigint AS rows, sum(bytes)::bigint AS bytes
FROM refused
WHERE host_id = ANY (:hosts::integer[]) AND day >= (:since::timestamptz AT TIME ZONE 'UTC')::date
GROUP BY host_id, reason
ORDER BY host_id, reason;
