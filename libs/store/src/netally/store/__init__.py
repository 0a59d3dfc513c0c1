"""The database: migrations, SQL files, pool."""
