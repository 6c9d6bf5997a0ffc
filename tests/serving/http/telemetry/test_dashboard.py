"""Every query of deploy/grafana.json asks for metrics and labels that /metrics has."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlmfast.serving.http.telemetry.metrics import Metrics
from mlmfast.serving.http.telemetry.statistics import ModelStatistics
from places import ROOT

# What Prometheus adds to the metrics of every target.
ADDED = {"job", "instance", "le"}


@pytest.fixture(scope="module")
def labels():
    """The labels of each sample in /metrics."""
    metrics = Metrics()
    metrics.count_request("v1", "one", 200, "no_mask", 0.1, "key")
    metrics.count_texts("one", 1, "key")
    metrics.set_texts_in_hand("one", 1)
    metrics.count_accept_pause("descriptors")
    metrics.count_replacement("hung")
    metrics.count_load("one", success=True)
    observer = metrics.observer("one", ModelStatistics())
    observer.on_batch(SimpleNamespace(texts=1, tokens=9, padding=1, seconds=0.1))
    observer.on_request_started(0.1)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture(scope="module")
def dashboard():
    return json.loads((ROOT / "deploy" / "grafana.json").read_text(encoding="utf-8"))


def test_queries_ask_for_what_there_is(labels, dashboard):
    queries = [each["expr"] for panel in dashboard["panels"] for each in panel.get("targets", [])]
    queries += [
        each["query"]["query"] for each in dashboard["templating"]["list"] if "datasource" in each
    ]
    assert len(queries) > 25
    for query in queries:
        names = re.findall(r"\b(?:mlmfast|process)_\w+", query)
        assert names
        for name in names:
            assert name in labels, query
            known = labels[name] | ADDED
            selected = re.findall(rf"{name}\{{([^}}]*)\}}", query)
            used = re.findall(r"(\w+)=~", " ".join(selected))
            used += re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", query)))
            assert set(used) <= known, query


def test_every_metric_is_shown(labels, dashboard):
    text = json.dumps(dashboard)
    families = {re.sub("_(bucket|count|sum)$", "", name) for name in labels}
    missing = {name for name in families if name not in text}
    assert missing <= {"process_virtual_memory_bytes", "process_start_time_seconds"}


def test_panels_do_not_overlap(dashboard):
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)
