"""Flow batches in, rows out; the only writer of the database, and the owner of streams and schema.

In: ``flows.v1.*`` (stream FLOWS) and ``agents.v1.*`` (stream AGENTS). Out: rows in the database, what can never be
stored on ``deadletters.v1.*``. A batch's way: `consumer` (pull, decode) → `writer` (`dimensions`, `ledger`, `rows`, one
transaction) → ack.
"""
