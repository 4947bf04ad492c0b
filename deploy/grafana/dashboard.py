"""Writes dashboards/streamdet.json, which Grafana loads, from the panels in dashboard.yaml.

    python deploy/grafana/dashboard.py

What all panels share (data source, matchers, colours, grid) is written once, here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
PANELS = HERE / "dashboard.yaml"
OUTPUT = HERE / "dashboards" / "streamdet.json"

WIDTH = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# The same word has the same colour in every panel: legend -> value -> colour.
COLORS = {
    "{{outcome}}": {
        "ok": "green",
        "late": "yellow",
        "duplicate": "blue",
        "dead_lettered": "red",
        "dropped_series_limit": "purple",
        "off_grid": "orange",
    },
    "{{severity}}": {"low": "yellow", "medium": "orange", "high": "red"},
    "{{result}}": {"committed": "green", "aborted": "orange"},
}

Json = dict[str, Any]


def panel(kind: str, spec: Json, queries: dict[str, str]) -> Json:
    """Return what a panel of every kind has."""

    def selector(found: re.Match[str]) -> str:
        own = [found[1]] if found[1] else []
        return "{" + ", ".join(['job=~"$job"', 'instance=~"$instance"', *own]) + "}"

    return {
        "type": kind,
        "description": spec["description"],
        "datasource": DATASOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": re.sub(r"\{(.*?)\}", selector, query),
                "legendFormat": legend,
            }
            for index, (legend, query) in enumerate(queries.items())
        ],
    }


def stat(spec: Json) -> Json:
    """Return a panel of one number; with `bad_from` it is green, and red from there on."""
    bad_from = spec.get("bad_from")
    steps: list[Json] = [{"color": "blue" if bad_from is None else "green", "value": None}]
    if bad_from is not None:
        steps.append({"color": "red", "value": bad_from})
    return {
        "title": spec["stat"],
        **panel("stat", spec, {spec["stat"]: spec["query"]}),
        "gridPos": {"w": 4, "h": 4},
        "fieldConfig": {
            "defaults": {
                "unit": spec["unit"],
                "color": {"mode": "thresholds"},
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": {"graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}},
    }


def graph(spec: Json) -> Json:
    """Return a panel over time, its lines stacked with `stacked`."""
    stacked = spec.get("stacked", False)
    return {
        "title": spec["graph"],
        **panel("timeseries", spec, spec["queries"]),
        "gridPos": {"w": 8, "h": 8},
        "fieldConfig": {
            "defaults": {
                "unit": spec["unit"],
                "min": 0,
                "color": {"mode": "palette-classic"},
                "custom": {
                    "fillOpacity": 60 if stacked else 8,
                    "showPoints": "never",
                    "stacking": {"mode": "normal" if stacked else "none"},
                },
            },
            "overrides": [
                {
                    "matcher": {"id": "byName", "options": value},
                    "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": to}}],
                }
                for legend in spec["queries"]
                for value, to in COLORS.get(legend, {}).items()
            ],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def layout(rows: dict[str, list[Json]]) -> list[Json]:
    """Return the panels numbered and placed: left to right, then the next line."""
    placed: list[Json] = []
    x = y = line_height = 0
    for title, specs in rows.items():
        row: Json = {"type": "row", "title": title, "collapsed": False, "panels": []}
        panels = [stat(spec) if "stat" in spec else graph(spec) for spec in specs]
        for one in [{**row, "gridPos": {"w": WIDTH, "h": 1}}, *panels]:
            size = one["gridPos"]
            if x + size["w"] > WIDTH:
                x, y = 0, y + line_height
            placed.append({"id": len(placed) + 1, **one, "gridPos": {**size, "x": x, "y": y}})
            x, line_height = x + size["w"], size["h"]
    return placed


def variable(name: str, query: str) -> Json:
    """Return a choice of label values, all of them at first."""
    return {
        "type": "query",
        "name": name,
        "label": name.capitalize(),
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def dashboard() -> str:
    """Return the dashboard's JSON."""
    variables = [
        {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"},
        variable("job", "label_values(streamdet_ready, job)"),
        variable("instance", 'label_values(streamdet_ready{job=~"$job"}, instance)'),
    ]
    content = {
        "uid": "streamdet",
        "title": "streamdet",
        "description": "Points in, anomalies out: throughput, health, latency, state, group.",
        "tags": ["streamdet", "kafka"],
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "schemaVersion": 39,
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": variables},
        "panels": layout(yaml.safe_load(PANELS.read_text(encoding="utf-8"))),
    }
    return json.dumps(content, indent=2) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(dashboard(), encoding="utf-8")
