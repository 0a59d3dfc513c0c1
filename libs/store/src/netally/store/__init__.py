"""The database: migrations, SQL files, pool. The only place that knows table names.

In: a database URL. Out: a migrated schema (`migrate`), a pool whose connections speak packed addresses and epoch
milliseconds (`database`), statements by name (`sql`), day partitions (`partitions`).
"""
