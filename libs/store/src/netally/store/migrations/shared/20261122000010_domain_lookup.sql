-- migrate:up

-- For filters and their completion: equality over all names, tombstoned ones too, and LIKE 'prefix%'. The unique index
-- covers living names only, and in most collations cannot answer LIKE.
CREATE INDEX domain_lookup ON domain (name text_pattern_ops);

-- migrate:down
DROP INDEX domain_lookup;
