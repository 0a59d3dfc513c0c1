"""Flow batches in, rows out; owns streams, schema and rollups."""
