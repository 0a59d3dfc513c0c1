-- migrate:up

-- The filter `upper <= …` may be put to pg_class before the joins, where the partitions' indexes are as well: their names
-- end in no date, and to_date failed on them whenever the planner chose so. CASE keeps it from looking at them.
CREATE OR REPLACE VIEW tier_part AS
SELECT 'raw'::text AS tier, parent.relname::text AS relation, child.oid::regclass AS part,
       CASE WHEN child.relname ~ '_[0-9]{8}$'
            THEN to_date(right(child.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' END AS lower,
       CASE WHEN child.relname ~ '_[0-9]{8}$'
            THEN (to_date(right(child.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' END AS upper
FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
JOIN pg_class AS parent ON parent.oid = inhparent
WHERE parent.oid = ANY (tier_relations('raw')::regclass[]);

-- migrate:down
CREATE OR REPLACE VIEW tier_part AS
SELECT 'raw'::text AS tier, parent.relname::text AS relation, child.oid::regclass AS part,
       to_date(right(child.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' AS lower,
       (to_date(right(child.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' AS upper
FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
JOIN pg_class AS parent ON parent.oid = inhparent
WHERE parent.oid = ANY (tier_relations('raw')::regclass[]);
