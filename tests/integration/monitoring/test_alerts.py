"""Alerts by promtool: each fires on its fault, stays silent in ordinary work, and its tests notice a wrong rule."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.architecture.test_monitoring import ALERTS, RULES
from tests.fixtures.promtool import Promtool

HERE = Path(__file__).parent
FILES = ("alerts.yaml", "alerts_of_hours.yaml")
NAMES = sorted({alert["alert"] for alert in ALERTS})


def cases_of(alert: str, *, fires: bool) -> list[dict[str, Any]]:
    found = [test for name in FILES for test in yaml.safe_load((HERE / name).read_text())["tests"]]
    return [
        test
        for test in found
        for check in test["promql_expr_test"]
        if f'"{alert}"' in check["expr"] and bool(check.get("exp_samples")) is fires
    ]


def test_the_rules_are_valid(promtool: Promtool) -> None:
    status, said = promtool("check", "rules", *sorted(RULES.glob("*.yaml")))
    assert status == 0, said


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_alerts_fire_on_their_fault_and_stay_silent_in_ordinary_work(promtool: Promtool, name: str) -> None:
    status, said = promtool("test", "rules", HERE / name)
    assert status == 0, said


@pytest.mark.parametrize("alert", NAMES)
def test_an_alert_has_series_of_a_fault_and_of_ordinary_work(alert: str) -> None:
    assert cases_of(alert, fires=True)
    assert cases_of(alert, fires=False)


@pytest.mark.parametrize(
    ("expression", "fires"), [("vector(0) > 1", True), ("vector(1)", False)], ids=["never fires", "always fires"]
)
def test_the_tests_of_every_alert_notice_a_wrong_rule(
    promtool: Promtool, tmp_path: Path, expression: str, fires: bool
) -> None:
    rules = yaml.safe_load((RULES / "alerts.yaml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["expr"] = expression
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(rules))
    for alert in NAMES:
        for case in cases_of(alert, fires=fires):
            file = {"rule_files": ["alerts.yaml"], "evaluation_interval": "4m", "tests": [case]}
            (tmp_path / "test.yaml").write_text(yaml.safe_dump(file))
            status, _ = promtool("test", "rules", tmp_path / "test.yaml")
            assert status == 1, f"{alert}, {case['name']}: passes with {expression}"


def test_the_text_of_an_alert_has_its_figures(promtool: Promtool, tmp_path: Path) -> None:
    series = {"series": 'siad_books_captures{line="bottles", state="missing"}', "values": "3x10"}
    expected = {
        "exp_labels": {"line": "bottles", "severity": "critical"},
        "exp_annotations": {
            "summary": "3 captures of line bottles are past their deadline without a verdict.",
            "impact": "Parts of line bottles have passed the camera without a result. Hold them back and inspect them "
            "by eye.",
            "runbook_url": "docs/runbooks/SiadCapturesMissing.md",
        },
    }
    alert_test = {"eval_time": "5m", "alertname": "SiadCapturesMissing", "exp_alerts": [expected]}
    test = {"interval": "1m", "input_series": [series], "alert_rule_test": [alert_test]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"rule_files": [str(RULES / "alerts.yaml")], "tests": [test]}))
    status, said = promtool("test", "rules", tmp_path / "test.yaml")
    assert status == 0, said
