"""Counters of the API service."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("netally_api_requests", "Answers by route and status", ["method", "route", "status"])
REQUEST_SECONDS = Histogram("netally_api_request_seconds", "Time to the start of an answer", ["route"])
QUERY_SECONDS = Histogram("netally_api_query_seconds", "Time of a statement", ["statement"])
ANSWERS_NOT_TAKEN = Counter("netally_api_answers_not_taken", "Answers given up because the client did not read them")
QUERIES_CANCELLED = Counter("netally_api_queries_cancelled", "Statements ended early", ["reason"])
SAMPLES = Counter("netally_api_live_samples", "Live samples from the bus", ["result"])
STREAMS = Gauge("netally_api_live_streams", "Open live streams")
STREAMS_DROPPED = Counter("netally_api_live_streams_dropped", "Live streams dropped because the reader was too slow")
LOGINS = Counter("netally_api_logins", "Attempts to open a session", ["result"])
