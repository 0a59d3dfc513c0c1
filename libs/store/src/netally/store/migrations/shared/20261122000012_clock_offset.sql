-- migrate:up

ALTER TABLE agent ADD COLUMN clock_offset_ms bigint;
COMMENT ON COLUMN agent.clock_offset_ms IS
    'Its clock at the last report less the bus''s clock when that was stored; null when not known, and for replays';

-- migrate:down
ALTER TABLE agent DROP COLUMN clock_offset_ms;
