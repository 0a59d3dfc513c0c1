"""TimescaleDB for tests, with or without Docker.

In: nothing, or the URL of a server in ``NETALLY_TEST_TIMESCALE_URL``. Out: empty databases that have the extension.
"""
