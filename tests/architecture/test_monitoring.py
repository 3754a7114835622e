"""Every metric, label and value that a rule names exists, and every alert has its page."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from docs.generator.metrics import collectors
from services.inference.domain.load_failures import FailureKind
from siad.audit.keeper import STATES
from siad.contracts.drift import DriftCause
from siad.contracts.events import Decision
from siad.contracts.topics import STAGES, TOPICS
from siad.contracts.training_runs import RunOutcome
from siad.runtime.outcomes import RULES as OUTCOMES
from tests.architecture.promql import grouped_labels, selectors_of
from tests.architecture.test_metrics import MODULES, full_name

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "charts/siad/monitoring"
RUNBOOKS: Final = ROOT / "docs/runbooks"
ADDED: Final = {"instance", "job", "le"}  # by Prometheus, and the bound of a histogram's bucket
HEADINGS: Final = ["What it means", "What is at risk", "Look at", "Do", "It is over when"]
VALUES: Final[dict[str, set[str]]] = {
    "stage": set(STAGES),
    "topic": {topic.name for topic in TOPICS},
    "fate": {rule.fate for rule in OUTCOMES} | {one.value for one in FailureKind},
    "state": {*STATES, "on", "off"},
    "outcome": {one.value for one in RunOutcome},
    "decision": {one.value for one in Decision},
    "kind": {"low", "estimated", "high"},
    "cause": {one.value for one in DriftCause},
    "le": {"5.0"},
}


def load_rules() -> list[dict[str, Any]]:
    files = sorted(RULES.glob("*.yaml"))
    return [rule for file in files for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


ALL: Final = load_rules()
ALERTS: Final = [rule for rule in ALL if "alert" in rule]
RECORDS: Final = {rule["record"]: rule for rule in ALL if "record" in rule}


def exported() -> dict[str, set[str]]:
    """Labels of each series that the stages export, by its name."""
    found: dict[str, set[str]] = {}
    for module in MODULES:
        for metric in collectors(module):
            name, labels = full_name(metric), set(metric._labelnames) | ADDED
            found |= dict.fromkeys((name, f"{name}_bucket", f"{name}_sum", f"{name}_count"), labels)
    return found


EXPORTED: Final = exported()


def faults(expression: str) -> list[str]:
    """What an expression names and the stages do not export."""
    found: list[str] = []
    labels = set(ADDED)
    for selector in selectors_of(expression):
        if selector.metric in RECORDS:
            labels |= grouped_labels(RECORDS[selector.metric]["expr"])
            inner = selectors_of(RECORDS[selector.metric]["expr"])
            labels |= {label for one in inner for label in EXPORTED.get(one.metric, ())}
            continue
        if selector.metric not in EXPORTED:
            found.append(f"no metric {selector.metric}")
            continue
        labels |= EXPORTED[selector.metric]
        for label, values in selector.labels.items():
            if label not in EXPORTED[selector.metric]:
                found.append(f"{selector.metric} has no label {label}")
            elif strange := set(values) - VALUES[label]:
                found.append(f"{label} is never {', '.join(strange)}")
    return [*found, *(f"no metric has the label {label}" for label in grouped_labels(expression) - labels)]


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_names_metrics_labels_and_values_that_exist(rule: dict[str, Any]) -> None:
    assert faults(rule["expr"]) == []


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("siad_lag_second > 1", "no metric siad_lag_second"),
        ('siad_lag_seconds{line="a"} > 1', "siad_lag_seconds has no label line"),
        ('siad_records_failed_total{fate="posion"} > 1', "fate is never posion"),
        ("sum by (line) (siad_lag_seconds) > 1", "no metric has the label line"),
    ],
)
def test_a_wrong_name_is_found(expression: str, fault: str) -> None:
    assert faults(expression) == [fault]


def test_every_recorded_rule_has_its_own_name() -> None:
    assert len(RECORDS) == sum("record" in rule for rule in ALL)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_says_what_happens_to_whom_and_names_its_page(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert set(alert["annotations"]) == {"summary", "impact", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{alert['alert']}.md"
    assert all(text.rstrip().endswith((".", ".md")) for text in alert["annotations"].values())


def test_pages_and_alerts_match() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("Siad*.md")}
    assert pages == {alert["alert"] for alert in ALERTS}
    listed = re.findall(r"\(runbooks/(Siad\w+)\.md\)", (ROOT / "docs/operate.md").read_text())
    assert sorted(listed) == sorted(pages)


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("Siad*.md")), ids=lambda page: page.stem)
def test_a_page_answers_the_five_questions(page: Path) -> None:
    text = page.read_text()
    headings: list[str] = re.findall(r"^## (.+)$", text, re.M)
    assert [heading for heading in headings if heading in HEADINGS] == HEADINGS
    names = {name for line in re.findall(r"`([^`]*)`", text) for name in re.findall(r"\bsiad_[a-z_]+", line)}
    assert names - EXPORTED.keys() == set()
