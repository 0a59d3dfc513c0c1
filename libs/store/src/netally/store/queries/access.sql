-- Tokens and sessions of browsers.

-- name: add_token
-- The new token's id; nothing when that is another's. The same token twice is one, as a command may run again.
INSERT INTO token (id, name, role, hosts, hash, created_at, created_by, expires_at)
VALUES (:id, :name, :role, :hosts::text[], :hash, :created_at, :created_by, :expires_at::timestamptz)
ON CONFLICT (id) DO UPDATE SET id = excluded.id WHERE token.hash = excluded.hash
RETURNING id;

-- name: revoke_token
-- Name of the token and when it was revoked, at first; nothing when there is none.
UPDATE token SET revoked_at = coalesce(revoked_at, :now::timestamptz) WHERE id = :id
RETURNING name, revoked_at;

-- name: use_tokens!
UPDATE token SET last_used = used.last_used
FROM unnest(:ids::text[], :last_useds::timestamptz[]) AS used (id, last_used)
WHERE token.id = used.id AND (token.last_used IS NULL OR token.last_used < used.last_used);

-- name: use_sessions!
INSERT INTO login_session (number, token_id, opened_at, expires_at, last_used, ended)
SELECT * FROM unnest(:numbers::text[], :tokens::text[], :opened_ats::timestamptz[], :expires_ats::timestamptz[],
                     :last_useds::timestamptz[], :endeds::boolean[])
ON CONFLICT (number) DO UPDATE
SET last_used = greatest(login_session.last_used, excluded.last_used), ended = login_session.ended OR excluded.ended;

-- name: forget_sessions!
DELETE FROM login_session WHERE expires_at < :before;

-- name: tokens
SELECT id, name, role, hosts, hash, created_at, created_by, expires_at, revoked_at, last_used
FROM token
ORDER BY created_at DESC, id;

-- name: usable_tokens
-- Those that may still be of use.
SELECT id, name, role, hosts, hash, expires_at FROM token WHERE revoked_at IS NULL;

-- name: sessions_used
-- Sessions that are not over, and those that were ended.
SELECT number, last_used, ended FROM login_session WHERE expires_at > :now;
