"""Logging, metrics and probes."""
