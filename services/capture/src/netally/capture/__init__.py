"""The agent: packets in, flow batches out."""
