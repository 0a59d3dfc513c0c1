"""Programs that tests run in other processes and namespaces: servers to talk to, clients that make traffic."""
