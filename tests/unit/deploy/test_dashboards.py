"""Dashboards, alerts and what provisions them: readable by whom they are for, and about metrics that exist."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import yaml

from querier.promql.ast import Aggregate, Expr, VectorSelector
from querier.promql.parser import parse
from shared.telemetry.catalogue import Catalogue
from tests.unit.deploy.files import DEPLOY, ROOT, compose
from tests.unit.deploy.grafana import Dashboard, Lines, Providers, Sources, Stat

DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
PROVISIONING = DEPLOY / "grafana" / "provisioning"
RULES = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
SCRAPES = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]

OF_EVERY_SCRAPE = {"up": set[str](), "scrape_duration_seconds": set[str](), "scrape_samples_scraped": set[str]()}
OF_A_SCRAPE = {"job", "instance", "zone", "worker"}
"""The labels that deploy/prometheus/prometheus.yml adds, and those of a process with several workers."""


def catalogued() -> dict[str, set[str]]:
    """Every name that can be asked for, with its labels."""
    names = dict(OF_EVERY_SCRAPE)
    for family in Catalogue().families():
        labels = set(family.label_names)
        if family.kind == "histogram":
            names |= {f"{family.name}_sum": labels, f"{family.name}_count": labels}
            names[f"{family.name}_bucket"] = labels | {"le"}
        else:
            names[family.name] = labels
    return names


def alerts() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def dashboard(uid: str) -> Dashboard:
    found = [board for board in map(_read, DASHBOARDS) if board.uid == uid]
    assert len(found) == 1
    return found[0]


def _read(path: Any) -> Dashboard:
    return Dashboard.model_validate_json(path.read_text())


def expressions() -> list[tuple[str, str]]:
    """(where, PromQL), with Grafana's variables replaced by what they may become."""
    shown = [
        (f"{path.stem}: {panel.title}", target.expr)
        for path in DASHBOARDS
        for panel in _read(path).panels
        if isinstance(panel, Lines | Stat)
        for target in panel.targets
    ]
    asked = [*shown, *((alert["alert"], alert["expr"]) for alert in alerts())]
    return [(where, text.replace("$__rate_interval", "1m").replace("$metric", "up")) for where, text in asked]


def nodes(node: object) -> Iterator[object]:
    """An expression and all below it."""
    yield node
    below = node if isinstance(node, tuple | list) else ()
    if is_dataclass(node):
        below = [getattr(node, field.name) for field in fields(node)]
    for child in below:
        yield from nodes(child)


def selectors(expression: Expr) -> list[VectorSelector]:
    return [node for node in nodes(expression) if isinstance(node, VectorSelector)]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_grafana_can_read_every_dashboard(path: Any) -> None:
    board = _read(path)
    ids = [panel.id for panel in board.panels]
    assert len(set(ids)) == len(ids)
    places = [panel.gridPos for panel in board.panels]
    for i, a in enumerate(places):
        assert a.x + a.w <= 24
        for b in places[:i]:
            apart = a.x >= b.x + b.w or b.x >= a.x + a.w or a.y >= b.y + b.h or b.y >= a.y + a.h
            assert apart, (a, b)
    assert (
        json.dumps(json.loads(path.read_text()), indent=2) + "\n" == path.read_text()
    )  # one form, so that diffs are small


def test_what_provisions_them_leads_to_them() -> None:
    sources = Sources.model_validate(yaml.safe_load((PROVISIONING / "datasources" / "headrace.yml").read_text()))
    providers = Providers.model_validate(yaml.safe_load((PROVISIONING / "dashboards" / "headrace.yml").read_text()))
    services = compose()["services"]
    grafana = services["grafana"]
    source = sources.datasources[0]
    assert source.url == "http://gateway:9009"
    for text in (source.basicAuthUser, source.secureJsonData.basicAuthPassword):
        assert text.removeprefix("$") in grafana["environment"]
    mounted = dict(volume.split(":")[:2][::-1] for volume in grafana["volumes"])
    assert (ROOT / mounted[providers.providers[0].options.path]).samefile(DEPLOY / "grafana" / "dashboards")
    assert (ROOT / mounted["/etc/grafana/provisioning"]).samefile(PROVISIONING)
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / mounted[home.rpartition("/")[0]] / home.rpartition("/")[2]).exists()
    for board in map(_read, DASHBOARDS):
        for panel in board.panels:
            if isinstance(panel, Lines | Stat):
                assert panel.datasource.uid == source.uid
                assert all(target.datasource.uid == source.uid for target in panel.targets)
        assert all(variable.datasource.uid == source.uid for variable in board.templating.list)
        known = {other.uid for other in map(_read, DASHBOARDS)}
        assert all(link.url.removeprefix("/d/") in known for link in board.links)


def test_variables_of_a_dashboard_exist() -> None:
    for path in DASHBOARDS:
        declared = {variable.name for variable in _read(path).templating.list} | {"__rate_interval", "__all"}
        assert set(re.findall(r"\$(\w+)", path.read_text())) <= declared


@pytest.mark.parametrize(("where", "text"), expressions())
def test_every_expression_asks_for_what_the_catalogue_has(where: str, text: str) -> None:
    names = catalogued()
    expression = parse(text)
    possible: set[str] = set()
    for selector in selectors(expression):
        name = selector.name or next(matcher.value for matcher in selector.matchers if matcher.name == "__name__")
        assert name in names, (where, name)
        labels = names[name] | OF_A_SCRAPE
        possible |= labels
        for matcher in selector.matchers:
            assert matcher.name in labels | {"__name__"}, (where, name, matcher.name)
    for node in nodes(expression):
        if isinstance(node, Aggregate):
            assert set(node.grouping) <= possible, where


def test_legends_name_labels_that_the_series_have() -> None:
    for path in DASHBOARDS:
        for panel in _read(path).panels:
            for target in panel.targets if isinstance(panel, Lines) else ():
                expression = parse(target.expr.replace("$__rate_interval", "1m").replace("$metric", "up"))
                names = catalogued()
                labels = set(OF_A_SCRAPE)
                for selector in selectors(expression):
                    labels |= names.get(selector.name or "", set())
                assert set(re.findall(r"{{(\w+)}}", target.legendFormat)) <= labels, target.expr


def test_every_job_is_scraped_from_services_that_exist() -> None:
    services = compose()["services"]
    scraped = {name for job in SCRAPES for source in job.get("dns_sd_configs", []) for name in source["names"]}
    roles = {
        name
        for name, service in services.items()
        if service.get("image") == "headrace:local" and "profiles" not in service
    }
    assert scraped == roles
    asked = {
        value
        for _, text in expressions()
        for selector in selectors(parse(text))
        for matcher in selector.matchers
        if matcher.name == "job" and "$" not in matcher.value
        for value in matcher.value.split("|")
    }
    assert asked <= {job["job_name"] for job in SCRAPES}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_every_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"]["summary"].endswith(".")
    manual = (ROOT / "docs" / "operations.md").read_text()
    assert f"| `{alert['alert']}` |" in manual
