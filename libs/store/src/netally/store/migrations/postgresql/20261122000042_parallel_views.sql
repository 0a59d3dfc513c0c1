-- migrate:up

-- What a tier has not stored is computed by the body of X_of itself, from the watermark on, and no longer by a call for
-- the row of table tier: a value handed from row to row kept the planner from reading X in parallel (a year of days took
-- four times as long). The value of a subquery does not, since PostgreSQL 17; before, it is as it was.
-- "< 'infinity'" is there for the planner: it then expects few rows, as is so, and not a third of the table.
DO $$
DECLARE
    tier_name  text;
    relation   text;
    body       text;
BEGIN
    FOR tier_name, relation IN SELECT name, unnest(tier_relations(name)) FROM tier WHERE name <> 'raw' LOOP
        SELECT prosrc INTO STRICT body FROM pg_proc WHERE oid = (relation || '_of')::regproc;
        body := replace(body, '>= lower', format('>= (SELECT watermark FROM tier WHERE name = %L)', tier_name));
        EXECUTE format('CREATE OR REPLACE VIEW %1$I AS SELECT * FROM %2$I UNION ALL %3$s', relation,
                       relation || '_rollup', replace(body, '< upper', '< ''infinity'''));
    END LOOP;
END
$$;

-- migrate:down
DO $$
DECLARE
    tier_name  text;
    relation   text;
BEGIN
    FOR tier_name, relation IN SELECT name, unnest(tier_relations(name)) FROM tier WHERE name <> 'raw' LOOP
        EXECUTE format('CREATE OR REPLACE VIEW %1$I AS SELECT * FROM %2$I UNION ALL SELECT computed.* FROM tier, '
                       'LATERAL %3$I(watermark, ''infinity'') AS computed WHERE name = %4$L', relation,
                       relation || '_rollup', relation || '_of', tier_name);
    END LOOP;
END
$$;
