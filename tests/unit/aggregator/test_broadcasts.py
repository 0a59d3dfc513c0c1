from __future__ import annotations

from typing import Any

from netally.aggregator.broadcasts import Broadcasts, instance_name
from netally.aggregator.dimensions import Dimensions
from netally.aggregator.live_settings import LiveConfig


class Pool:
    """Knows every name by the same id."""

    async def fetch(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        return [{"name": name, "id": 1} for name in arguments[0]]


async def test_caches_are_dropped_by_name_and_counted() -> None:
    pool: Any = Pool()
    dimensions = Dimensions(pool)
    await dimensions.hosts.ids(["a", "b"])
    await dimensions.domains.ids(["example.org"])
    client: Any = None
    broadcasts = Broadcasts(client, [dimensions, Dimensions(pool)], LiveConfig(7), lambda command, actor: False)
    assert broadcasts.forget(["domains"]) == {"domains": 1}
    assert len(dimensions.hosts) == 2
    assert broadcasts.forget([]) == {"hosts": 2, "apps": 0, "domains": 0}
    assert len(dimensions.hosts) == 0


def test_instances_are_told_apart() -> None:
    assert instance_name().startswith("aggregator on ")
