"""Table of outcomes: the code and the document agree, and no rule is out of reach."""

import asyncio
import inspect
from pathlib import Path

import pytest

from siad.contracts import errors
from siad.contracts.errors import DeniedError, GoldenError, OutOfMemoryError, PoisonError, TransientError
from siad.runtime.outcomes import RULES, Outcome, outcome_of, report_of, rule_of

DOCUMENT = Path(__file__).parents[3] / "docs" / "outcomes.md"


def test_the_document_has_the_same_table() -> None:
    table = DOCUMENT.read_text().partition("## Outcomes")[2].partition("\n- ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    rows = [tuple(cell.strip().strip("`") for cell in line.strip("|").split("|")) for line in lines]
    expected = [(rule.error.__name__, rule.outcome.value, rule.fate, rule.reason) for rule in RULES]
    assert rows == expected


def test_the_document_explains_every_outcome() -> None:
    text = DOCUMENT.read_text()
    assert [outcome.value for outcome in Outcome if f"- **{outcome.value}**:" not in text] == []


def test_every_error_of_the_contracts_has_a_rule_of_its_own() -> None:
    """A subclass may share the rule of its base: the base must not be the rule for bugs."""
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    found = [kind for kind in classes if issubclass(kind, Exception)]
    assert len(found) >= 9
    assert [kind.__name__ for kind in found if rule_of(kind("x")).outcome is Outcome.CRASH] == []


def test_no_rule_is_hidden_by_one_before_it() -> None:
    for index, rule in enumerate(RULES):
        assert not [before.error for before in RULES[:index] if issubclass(rule.error, before.error)]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (DeniedError("x"), Outcome.PAUSE),
        (TransientError("x"), Outcome.RETRY),
        (OutOfMemoryError("x"), Outcome.RETRY),
        (GoldenError("x"), Outcome.PAUSE),
        (PoisonError("x"), Outcome.DEAD_LETTER),
        (OSError(28, "No space left on device"), Outcome.PAUSE),
        (TimeoutError(), Outcome.RETRY),
        (MemoryError(), Outcome.RETRY),
        (asyncio.CancelledError(), Outcome.STOP),
        (ValueError("x"), Outcome.CRASH),
        (RuntimeError("x"), Outcome.CRASH),
        (SystemExit(), Outcome.CRASH),
    ],
)
def test_an_exception_has_one_outcome(error: BaseException, outcome: Outcome) -> None:
    assert outcome_of(error) is outcome


def test_readiness_reports_in_words_what_an_operator_must_clear() -> None:
    error = DeniedError("could not read s3://plant/images/1.png: AccessDenied; check the bucket's policy")
    assert report_of(error) == (
        "access denied: could not read s3://plant/images/1.png: AccessDenied; check the bucket's policy. "
        "The work is retried and resumes by itself; nothing is skipped"
    )
    assert report_of(TransientError("the store is unavailable")) == ""
    for rule in RULES:
        assert bool(report_of(rule.error("x"))) == (rule.outcome is Outcome.PAUSE)
