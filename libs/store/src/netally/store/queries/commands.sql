-- The command ledger. Jsonb goes in and out as text.

-- name: add_command
-- The new command's id; nothing when one with this id or key is there already.
INSERT INTO command (id, name, target, arguments, actor, actor_verified, dry_run, idempotency_key, state, issued_at,
                     deadline, message, result, ended_at)
VALUES (:id, :name, :target, :arguments::text::jsonb, :actor, :actor_verified, :dry_run, :idempotency_key, :state,
        :issued_at, :deadline, :message, :result::text::jsonb, :ended_at::timestamptz)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: add_command_event
INSERT INTO command_event (command_id, time, source, state, message, detail)
VALUES (:command_id, :time, :source, :state, :message, :detail::text::jsonb)
RETURNING id;

-- name: command_of_key
SELECT id, name, target, arguments::text AS arguments, actor, actor_verified, dry_run, idempotency_key, state, issued_at,
       started_at, ended_at, deadline, message, result::text AS result
FROM command WHERE idempotency_key = :key;

-- name: unfinished_commands
-- Oldest first.
SELECT id, name, arguments::text AS arguments, actor, actor_verified, dry_run, idempotency_key, state, issued_at, deadline
FROM command
WHERE state IN ('accepted', 'progress') AND name = ANY (:names::text[])
ORDER BY issued_at, id;

-- name: begin_command
UPDATE command SET state = 'progress', started_at = coalesce(started_at, :now), message = :message
WHERE id = :id AND state = 'accepted'
RETURNING id;

-- name: requeue_command!
UPDATE command SET state = 'accepted', message = :message WHERE id = :id AND state = 'progress';

-- name: describe_command!
UPDATE command SET message = :message WHERE id = :id AND state IN ('accepted', 'progress');

-- name: end_command
-- Nothing when it had ended before.
UPDATE command SET state = :state, ended_at = :now, message = :message, result = :result::text::jsonb
WHERE id = :id AND state IN ('accepted', 'progress')
RETURNING id;

-- name: end_waiting_command
-- Nothing when it has begun, or ended.
UPDATE command SET state = :state, ended_at = :now, message = :message WHERE id = :id AND state = 'accepted'
RETURNING id;

-- name: command_interruptions
SELECT count(*) FROM command_event WHERE command_id = :id AND state = 'accepted';

-- name: forget_commands!
DELETE FROM command WHERE ended_at < :before;

-- name: try_command_lock
-- Held by the session: one aggregator at a time carries out commands.
SELECT pg_try_advisory_lock(hashtextextended('netally.commands', 0));

-- name: command
SELECT id, name, target, arguments::text AS arguments, actor, actor_verified, dry_run, idempotency_key, state, issued_at,
       started_at, ended_at, deadline, message, result::text AS result
FROM command WHERE id = :id;

-- name: commands
-- Newest first; those before a place in that order, when one is given.
SELECT id, name, target, arguments::text AS arguments, actor, actor_verified, dry_run, idempotency_key, state, issued_at,
       started_at, ended_at, deadline, message, result::text AS result
FROM command
WHERE (:states::text[] IS NULL OR state = ANY (:states)) AND (:names::text[] IS NULL OR name = ANY (:names))
  AND (:before::timestamptz IS NULL OR (issued_at, id) < (:before, :before_id::text))
  AND (:actor::text IS NULL OR actor = :actor)
ORDER BY issued_at DESC, id DESC
LIMIT :limit;

-- name: command_events
SELECT id, time, source, state, message, detail::text AS detail
FROM command_event WHERE command_id = :id AND id > :after ORDER BY id;

-- name: command_counts
SELECT count(*) FILTER (WHERE state = 'progress') AS running, count(*) FILTER (WHERE state = 'accepted') AS waiting,
       count(*) FILTER (WHERE state IN ('failed', 'expired') AND ended_at >= :since) AS failed
FROM command
WHERE (state IN ('accepted', 'progress') OR issued_at >= :since) AND (:actor::text IS NULL OR actor = :actor);

-- name: agents_to_command
-- Names of the hosts that have an agent, and the settings it follows.
SELECT host.name, agent.settings_version, agent.paused, agent.interval_seconds
FROM host JOIN agent ON agent.host_id = host.id
WHERE host.kind = 'agent' AND host.deleted_at IS NULL AND host.id <> 0
ORDER BY host.name;

-- name: app_ids_of
SELECT id FROM app WHERE name = :name AND deleted_at IS NULL AND id <> 0 ORDER BY id;

-- name: domain_id_of
SELECT id FROM domain WHERE name = :name AND deleted_at IS NULL AND id <> 0;

-- name: hosts_to_purge
-- Also those of an interrupted purge, as in the next two.
SELECT id FROM host WHERE name = :name AND id <> 0 ORDER BY id;

-- name: apps_to_purge
SELECT id FROM app WHERE name = :name AND id <> 0 ORDER BY id;

-- name: domains_to_purge
SELECT id FROM domain WHERE name = :name AND id <> 0 ORDER BY id;

-- name: command_signing_key
SELECT key FROM command_signing;

-- name: agents_complete
-- Until when each host's agent has sent everything; null when it has sent nothing.
SELECT host.name, max(ledger.complete_until) AS complete_until
FROM host
JOIN agent ON agent.host_id = host.id
LEFT JOIN ledger ON ledger.host_id = host.id
WHERE host.kind = 'agent' AND host.deleted_at IS NULL AND (:hosts::integer[] IS NULL OR host.id = ANY (:hosts))
GROUP BY host.name
ORDER BY host.name;

-- name: hosts_of
SELECT id, kind FROM host WHERE name = :name AND deleted_at IS NULL AND id <> 0;

-- name: export_session!
-- Until the connection goes back to the pool.
SET work_mem = '64MB';
