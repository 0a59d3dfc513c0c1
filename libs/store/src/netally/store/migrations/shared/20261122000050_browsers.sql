-- migrate:up

ALTER TABLE token DROP CONSTRAINT token_role_check;
ALTER TABLE token ADD CONSTRAINT token_role_check CHECK (role IN ('browser', 'viewer', 'operator', 'admin'));

-- Reports of browsers that are stored, so that each counts once. Forgotten after eight days.
CREATE TABLE tab_report (
    host_id      integer NOT NULL,
    id           text NOT NULL,
    received_at  timestamptz NOT NULL,
    PRIMARY KEY (host_id, id)
);
CREATE INDEX tab_report_received ON tab_report (received_at);

-- What each paired browser said last.
CREATE TABLE paired_browser (
    token_id     text PRIMARY KEY,
    browser      text NOT NULL,
    last_report  timestamptz NOT NULL,
    sends_pairs  boolean NOT NULL
);

-- migrate:down
DROP TABLE paired_browser, tab_report;
DELETE FROM token WHERE role = 'browser';
ALTER TABLE token DROP CONSTRAINT token_role_check;
ALTER TABLE token ADD CONSTRAINT token_role_check CHECK (role IN ('viewer', 'operator', 'admin'));
