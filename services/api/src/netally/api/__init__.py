"""Queries from the database, commands to the bus."""
