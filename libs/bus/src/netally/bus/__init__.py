"""How it crosses NATS: subjects, streams, consumers."""
