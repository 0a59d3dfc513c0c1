"""deploy/prometheus/alerts.yaml: expressions that parse, over metrics that exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

ROOT = Path(__file__).resolve().parents[2]
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """Names of the samples of every service, and their labels."""
    for service in ("aggregator", "api", "capture", "web"):
        importlib.import_module(f"netally.{service}.metrics")
    found: dict[str, set[str]] = {}
    for metric in REGISTRY._names_to_collectors.values():
        if isinstance(metric, MetricWrapperBase):
            for kind in ("", "_total"):
                found[f"{metric._name}{kind}"] = set(metric._labelnames)
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_rule_parses_and_names_metrics_that_are_exported(
    rule: dict[str, Any], exported: dict[str, set[str]]
) -> None:
    promql_parser.parse(rule["expr"])
    names = set(re.findall(r"netally_\w+", rule["expr"]))
    assert names
    assert names <= set(exported)
    for labels in re.findall(r"(netally_\w+)\{([^}]*)\}", rule["expr"]):
        used = set(re.findall(r"(\w+)\s*[=!]", labels[1]))
        assert used <= exported[labels[0]] | {"instance", "job"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_rule_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"}
