"""The alerts and the dashboard for Prometheus: they parse, fire for what they are about, and name what exists."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from bot.telemetry import METRICS
from bot.telemetry.metrics import PREFIX, Kind

FOLDER: Final = Path(__file__).parents[2] / "infra" / "prometheus"
SUFFIXES: Final = {Kind.COUNTER: ("_total",), Kind.GAUGE: ("",), Kind.HISTOGRAM: ("_bucket", "_count", "_sum")}
EXPOSED: Final = {PREFIX + each.name + suffix: each for each in METRICS for suffix in SUFFIXES[each.kind]}


@pytest.fixture(scope="module")
def promtool() -> str:
    """Return the path of promtool, which .ci/run installs. Skip the test on a machine without it."""
    found = shutil.which("promtool")
    if found is None and os.environ.get("CI") != "true":
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    assert found, "promtool is not installed"
    return found


def run(*command: str | Path) -> str:
    """Run promtool. Fail with its output unless it exits with 0."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def rules() -> list[dict[str, Any]]:
    """Return the alerts."""
    (group,) = yaml.safe_load((FOLDER / "rules.yaml").read_text("utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard."""
    found: list[dict[str, Any]] = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))["panels"]
    return found


def expressions() -> list[str]:
    """Return every expression of the alerts and the dashboard."""
    shown = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [*(each["expr"] for each in rules()), *shown]


def test_alerts_fire_exactly_in_the_cases_of_the_rules_test_file(promtool: str) -> None:
    """The tool promtool checks the rules and runs the cases in rules_test.yaml."""
    run(promtool, "check", "rules", FOLDER / "rules.yaml")
    run(promtool, "test", "rules", FOLDER / "rules_test.yaml")


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    """The cases are in rules_test.yaml."""
    cases = yaml.safe_load((FOLDER / "rules_test.yaml").read_text("utf-8"))["tests"]
    checked = [(each["alertname"], bool(each["exp_alerts"])) for case in cases for each in case["alert_rule_test"]]
    for rule in rules():
        assert {(rule["alert"], False), (rule["alert"], True)} <= set(checked)


def test_every_expression_is_valid_for_prometheus(promtool: str, tmp_path: Path) -> None:
    """The expressions of the alerts and of the dashboard are parsed by promtool."""
    recorded = [{"record": f"expression:{number}", "expr": each} for number, each in enumerate(expressions())]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": recorded}]}))
    assert f"{len(recorded)} rules found" in run(promtool, "check", "rules", file)


def test_every_expression_names_metrics_labels_and_buckets_that_exist() -> None:
    """A misspelt name would never alert, and never show anything."""
    for expression in expressions():
        names = set(re.findall(rf"\b{PREFIX}\w+", expression))
        assert names
        assert names <= EXPOSED.keys()
        metrics = [EXPOSED[name] for name in names]
        labels = {label for metric in metrics for label in metric.labels}
        used = {word.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for word in group.split(",")}
        assert used - {"le"} <= labels
        bounds = {float(each) for each in re.findall(r'le="([\d.]+)"', expression)}
        assert bounds <= {bound for metric in metrics for bound in metric.buckets}


def test_panels_of_the_dashboard_have_distinct_titles_and_positions() -> None:
    """No two panels begin at the same position."""
    titles = [each["title"] for each in panels()]
    assert len(titles) == len(set(titles))
    places = [(each["gridPos"]["x"], each["gridPos"]["y"]) for each in panels()]
    assert len(places) == len(set(places))
