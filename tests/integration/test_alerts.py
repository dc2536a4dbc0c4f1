"""The alert rules and the scrape configuration, as Prometheus's own tool understands them."""

import subprocess

import yaml

from tests.support.tools import ROOT, tool

FOLDER = ROOT / "deploy" / "prometheus"


def promtool(*arguments: str) -> None:
    run = subprocess.run(
        [tool("promtool"), *arguments], cwd=FOLDER, check=False, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_prometheus_takes_the_rules_and_the_configuration() -> None:
    promtool("check", "rules", "rules.yml")
    promtool("check", "config", "--syntax-only", "prometheus.yml")


def test_every_alert_fires_on_trouble_and_only_then() -> None:
    promtool("test", "rules", "rules_test.yml")


def test_no_alert_is_left_out() -> None:
    groups = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    declared = {rule["alert"] for group in groups for rule in group["rules"]}
    trouble, quiet = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    fired = {test["alertname"] for test in trouble["alert_rule_test"] if test["exp_alerts"]}
    silent = {test["alertname"] for test in quiet["alert_rule_test"] if not test["exp_alerts"]}
    assert fired == silent == declared
