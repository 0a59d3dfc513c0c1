-- migrate:up

-- How far each tier is. Above its watermark a tier is computed from the one below when it is asked for; below it, it is
-- stored. What lies before dropped_before was dropped by retention, so no tier above may be recomputed from there.
CREATE TABLE tier (
    name            text PRIMARY KEY CHECK (name IN ('raw', '1m', '1h', '1d')),
    watermark       timestamptz NOT NULL DEFAULT 'epoch',
    dropped_before  timestamptz NOT NULL DEFAULT 'epoch',
    oldest_part     timestamptz
);
INSERT INTO tier (name) VALUES ('raw'), ('1m'), ('1h'), ('1d');
COMMENT ON COLUMN tier.watermark IS 'Start of the first bucket that is not stored; not used for raw';
COMMENT ON COLUMN tier.oldest_part IS
    'Start of its oldest partition or chunk when last seen: when that is gone, somebody dropped it by hand';

-- Buckets whose rows changed: appended by whoever writes, in the same transaction, taken by the next refresh.
CREATE TABLE touched (
    id      bigint GENERATED ALWAYS AS IDENTITY,
    tier    text NOT NULL,
    bucket  timestamptz NOT NULL
);

CREATE FUNCTION tier_relations(tier text) RETURNS text[] LANGUAGE sql IMMUTABLE
RETURN CASE tier WHEN 'raw' THEN ARRAY['flow', 'tally', 'coverage', 'tab_activity']
                 WHEN '1m' THEN ARRAY['flow_1m', 'coverage_1m', 'tally_1m', 'tab_activity_1m']
                 WHEN '1h' THEN ARRAY['flow_1h', 'traffic_1h', 'coverage_1h', 'tally_1h', 'tab_activity_1h']
                 WHEN '1d' THEN ARRAY['flow_1d', 'traffic_1d', 'coverage_1d', 'tally_1d', 'tab_activity_1d'] END;

-- Rows of a tier, all its relations together, in [lower, upper).
CREATE FUNCTION tier_rows(tier text, lower timestamptz, upper timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    relation  text;
    part      bigint;
    total     bigint := 0;
BEGIN
    FOREACH relation IN ARRAY tier_relations(tier) LOOP
        EXECUTE format('SELECT count(*) FROM %1$I WHERE %2$I >= $1 AND %2$I < $2', relation,
                       CASE tier WHEN 'raw' THEN 'time' ELSE 'bucket' END)
        INTO part USING lower, upper;
        total := total + part;
    END LOOP;
    RETURN total;
END
$$;

-- Time of the oldest row of a tier. Each backend's view tier_part (tier, lower, upper) lists what is stored in parts; the
-- first that has rows is read, as raw has no index that would tell.
CREATE FUNCTION tier_oldest(wanted text) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
    relation  text;
    bound     timestamptz;
    found     timestamptz;
    oldest    timestamptz;
BEGIN
    FOR bound IN EXECUTE 'SELECT DISTINCT upper FROM tier_part WHERE tier = $1 UNION SELECT ''infinity'' ORDER BY upper'
                 USING wanted LOOP
        FOREACH relation IN ARRAY tier_relations(wanted) LOOP
            EXECUTE format('SELECT min(%2$I) FROM %1$I WHERE %2$I < $1', relation,
                           CASE wanted WHEN 'raw' THEN 'time' ELSE 'bucket' END)
            INTO found USING bound;
            oldest := least(oldest, found);
        END LOOP;
        EXIT WHEN oldest IS NOT NULL;
    END LOOP;
    RETURN oldest;
END
$$;

-- migrate:down
DROP FUNCTION tier_oldest, tier_rows, tier_relations;
DROP TABLE touched, tier;
