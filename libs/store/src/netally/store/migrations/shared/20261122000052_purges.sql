-- migrate:up

-- How many purges there were. Ids that a writer looked up are good while this has not changed; it looks here within its
-- transaction, holding off the next purge.
CREATE TABLE purges (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    number    bigint NOT NULL DEFAULT 0
);
INSERT INTO purges DEFAULT VALUES;

-- Buckets whose traffic totals still count a domain that was purged: left by a purge that was interrupted.
CREATE TABLE stale_total (
    tier    text NOT NULL,
    bucket  timestamptz NOT NULL,
    PRIMARY KEY (tier, bucket)
);

-- migrate:down
DROP TABLE stale_total, purges;
