"""What Prometheus and Grafana are told to ask: for metrics that there are, by labels that they have."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.deployment import DEPLOYMENT, port_of
from support.programs import needs_program, run_program

yaml = pytest.importorskip("yaml", reason="PyYAML is optional")
PROMETHEUS = DEPLOYMENT / "prometheus"
DASHBOARD = json.loads((DEPLOYMENT / "grafana" / "dashboard.json").read_text())

# The labels of each metric; a histogram has `le` beside them.
PLAIN: dict[str, set[str]] = {
    "process_open_fds": set(),
    "process_resident_memory_bytes": set(),
    "threadserve_build_info": {"version", "python", "form"},
    "threadserve_connections": {"thread"},
    "threadserve_connections_accepted_total": set(),
    "threadserve_gil_enabled": set(),
    "threadserve_loop_stalled": {"thread"},
    "threadserve_loop_stalls_total": {"thread"},
    "threadserve_received_bytes_total": set(),
    "threadserve_refusals_total": {"status"},
    "threadserve_requests_in_flight": {"thread"},
    "threadserve_requests_total": {"thread", "status"},
    "threadserve_sent_bytes_total": set(),
    "threadserve_threads_replaced_total": set(),
    "threadserve_websockets_open": {"thread"},
    "threadserve_workers_replaced_total": set(),
    "threadserve_wsgi_queue": set(),
    "threadserve_wsgi_threads": set(),
    "threadserve_wsgi_threads_busy": set(),
    "threadserve_wsgi_timeouts_total": set(),
}
HISTOGRAMS: dict[str, set[str]] = {
    "threadserve_accept_to_app_seconds": set(),
    "threadserve_loop_lag_seconds": {"thread"},
    "threadserve_queue_time_seconds": set(),
    "threadserve_request_duration_seconds": {"thread"},
    "threadserve_time_to_first_byte_seconds": set(),
}
# Everything has these, from the scrape.
SCRAPED = {"instance", "job"}


class Query(NamedTuple):
    """A PromQL expression, and the text that tells what it found by `{{label}}`."""

    where: str
    expression: str
    text: str

    @property
    def metrics(self) -> set[str]:
        """The names of the series that are asked for."""
        return set(re.findall(r"\b(?:threadserve|process)_\w+", self.expression))

    @property
    def matched(self) -> set[str]:
        """The labels that choose series."""
        inside = re.findall(r"{([^}]*)}", self.expression)
        return {label for part in inside for label in re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\s*\"", part)}

    @property
    def grouped(self) -> set[str]:
        """The labels that series are put together by."""
        return {
            label for part in re.findall(r"\bby \(([^)]*)\)", self.expression) for label in re.findall(r"\w+", part)
        }

    @property
    def shown(self) -> set[str]:
        """The labels that the text names."""
        return set(re.findall(r"{{\s*(?:\$labels\.)?(\w+)\s*}}", self.text))


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels that show something."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def rules() -> list[dict[str, Any]]:
    """The rules of the alerts."""
    loaded = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def queries() -> Iterator[Query]:
    """What is asked for, by panels and by alerts."""
    for panel in panels():
        for target in panel["targets"]:
            yield Query(panel["title"], target["expr"], target["legendFormat"])
    for rule in rules():
        yield Query(rule["alert"], rule["expr"], rule["annotations"]["summary"])


ALL = list(queries())


def labels_of(series: str) -> set[str]:
    """The labels of a series. Raises `KeyError` where there is none."""
    for suffix in ("_bucket", "_sum", "_count"):
        histogram = series.removesuffix(suffix)
        if histogram != series and histogram in HISTOGRAMS:
            return HISTOGRAMS[histogram] | ({"le"} if suffix == "_bucket" else set())
    return PLAIN[series]


@pytest.mark.parametrize("query", ALL, ids=lambda query: query.where)
def test_every_query_is_for_metrics_and_labels_that_there_are(query: Query) -> None:
    assert query.metrics
    having = [labels_of(series) | SCRAPED for series in query.metrics]
    assert query.matched | query.grouped <= set.intersection(*having)
    # What an aggregation has put together it does not tell any more.
    is_grouped = re.search(r"\b(?:sum|max|count)\b", query.expression)
    assert query.shown <= (query.grouped if is_grouped else set.intersection(*having))


def test_the_dashboard_shows_every_metric() -> None:
    shown = {series for query in ALL[: -len(rules())] for series in query.metrics}
    missing = {name for name in PLAIN if name not in shown} | {
        name for name in HISTOGRAMS if f"{name}_bucket" not in shown
    }
    assert missing == set()


def test_quantiles_are_of_buckets_that_keep_their_bounds() -> None:
    for query in ALL:
        if "histogram_quantile" in query.expression:
            assert query.metrics == {series for series in query.metrics if series.endswith("_bucket")}
            assert "le" in query.grouped


def test_counters_are_asked_for_their_growth() -> None:
    for query in ALL:
        for series in query.metrics:
            if series.endswith(("_total", "_bucket")):
                assert re.search(rf"(?:rate|increase)\({series}(?:{{[^}}]*}})?\[", query.expression), query


def test_the_panels_have_places_and_names_of_their_own() -> None:
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & places, panel["title"]
        places |= cells
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert len({panel["title"] for panel in panels()}) == len(panels())


def test_the_dashboard_asks_the_source_and_the_servers_that_are_chosen() -> None:
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    for panel in panels():
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"
            assert 'instance=~"$instance"' in target["expr"]
    used = set(re.findall(r"\$\{?([a-z]+)\b", json.dumps(panels())))
    assert used == variables


def test_what_is_scraped_is_where_the_unit_has_it() -> None:
    loaded = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    [job] = loaded["scrape_configs"]
    unit = (DEPLOYMENT / "systemd" / "threadserve-plain.service").read_text()
    [address] = re.findall(r"--admin-bind (\S+)", unit)
    targets = [target for each in job["static_configs"] for target in each["targets"]]
    assert {port_of(target) for target in targets} == {port_of(address)}
    assert job["metrics_path"] == "/metrics"
    assert all((PROMETHEUS / name).exists() for name in loaded["rule_files"])


@needs_program("promtool")
def test_prometheus_takes_it(tmp_path: Path) -> None:
    run_program("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    asked = [query.expression.replace("$__rate_interval", "5m") for query in ALL]
    recorded = [{"record": f"query:{number}", "expr": expression} for number, expression in enumerate(asked)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": recorded}]}))
    run_program("promtool", "check", "rules", tmp_path / "rules.yml")
