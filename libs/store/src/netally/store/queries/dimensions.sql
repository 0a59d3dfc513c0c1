-- Ids of names. Reading comes first; only what is missing is written, by one writer at a time and in order, so that no
-- id is burnt on a conflict and no two writers wait for each other in a ring.

-- name: lock_dimension
-- Held to the end of the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('netally.dimension.' || :name, 0));

-- name: host_ids
SELECT id, name FROM host WHERE name = ANY (:names::text[]) AND deleted_at IS NULL;

-- name: add_hosts!
INSERT INTO host (name)
SELECT wanted.name FROM unnest(:names::text[]) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM host WHERE host.name = wanted.name AND host.deleted_at IS NULL)
ORDER BY wanted.name;

-- name: domain_ids
SELECT id, name FROM domain WHERE name = ANY (:names::text[]) AND deleted_at IS NULL;

-- name: add_domains!
INSERT INTO domain (name)
SELECT wanted.name FROM unnest(:names::text[]) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM domain WHERE domain.name = wanted.name AND domain.deleted_at IS NULL)
ORDER BY wanted.name;

-- name: app_ids
SELECT id, name, executable, username, unit, container
FROM app
JOIN unnest(:names::text[], :executables::text[], :usernames::text[], :units::text[], :containers::text[])
     AS wanted (name, executable, username, unit, container)
     USING (name, executable, username, unit, container)
WHERE deleted_at IS NULL;

-- name: add_apps!
INSERT INTO app (name, executable, username, unit, container)
SELECT wanted.name, wanted.executable, wanted.username, wanted.unit, wanted.container
FROM unnest(:names::text[], :executables::text[], :usernames::text[], :units::text[], :containers::text[])
     AS wanted (name, executable, username, unit, container)
WHERE NOT EXISTS (
    SELECT FROM app
    WHERE app.name = wanted.name AND app.executable = wanted.executable AND app.username = wanted.username
      AND app.unit = wanted.unit AND app.container = wanted.container AND app.deleted_at IS NULL)
ORDER BY 1, 2, 3, 4, 5;

-- name: hold_ids!
-- To the end of the transaction nothing is purged; a writer whose machine vanished must not keep this, nor its ledgers'
-- locks, until TCP notices.
SELECT set_config('idle_in_transaction_session_timeout', :milliseconds, true),
       pg_advisory_xact_lock_shared(hashtextextended('netally.purge', 0));

-- name: purges
-- A statement of its own: one that had to wait for the lock would see what was before.
SELECT number FROM purges;
