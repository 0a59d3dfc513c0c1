-- migrate:up

-- What the API proves with that it has checked who orders a command: it can read this, a client of the bus cannot.
CREATE TABLE command_signing (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    key       text NOT NULL
);
INSERT INTO command_signing (key)
VALUES (replace(gen_random_uuid()::text, '-', '') || replace(gen_random_uuid()::text, '-', ''));

-- migrate:down
DROP TABLE command_signing;
