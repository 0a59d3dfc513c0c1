"""Which server ports keep their number in the rollups. The SQL function ``port_class`` says the same."""

from __future__ import annotations

from typing import Final

LAST_PORT: Final = 65_535

KEPT_PORTS: Final = frozenset(range(1024)) | frozenset(
    (
        *(1194, 1433, 1521, 1883, 2049, 2375, 2376, 2379, 3000, 3128, 3306, 3389, 3478, 4222, 4317, 4318, 5060, 5061),
        *(5222, 5353, 5432, 5671, 5672, 5900, 5984, 6379, 6443, 6881, 7500, 7501, 8000, 8008, 8080, 8081, 8443, 8883),
        *(9000, 9042, 9090, 9092, 9100, 9200, 9418, 10250, 11211, 25565, 27017, 32400, 51413, 51820),
    )
)
"""All below 1024 and a few well-known ones; every other port is class 0, together with "has no port"."""


def port_class(port: int) -> int:
    """The port itself where the rollups keep it, else 0."""
    return port if port in KEPT_PORTS else 0
