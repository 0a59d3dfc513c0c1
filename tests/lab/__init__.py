"""The ground-truth lab: known clients in namespaces, each on a port of its own, against what an agent says of them."""
