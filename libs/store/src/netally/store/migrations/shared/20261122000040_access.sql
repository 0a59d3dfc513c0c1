-- migrate:up

ALTER TABLE token ADD COLUMN created_by text NOT NULL DEFAULT '';

-- Sessions of browsers, so that each instance of the API knows when one was last used and that it was ended.
CREATE TABLE login_session (
    number      text PRIMARY KEY,
    token_id    text NOT NULL,
    opened_at   timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    last_used   timestamptz NOT NULL,
    ended       boolean NOT NULL
);
CREATE INDEX login_session_expires ON login_session (expires_at);
COMMENT ON COLUMN login_session.token_id IS 'Token that opened it; empty for the admin token';

-- migrate:down
DROP TABLE login_session;
ALTER TABLE token DROP COLUMN created_by;
