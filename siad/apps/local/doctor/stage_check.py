"""Stages: readiness, what they wait for, quarantine, missing captures and their clocks."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from siad.apps.local.doctor.findings import Finding, fault, ok, unknown, warning
from siad.apps.local.doctor.store_check import SKEW_WARNING_S, judge_skew
from siad.apps.local.stage_status import by_label, describe_problem, read_ledger, read_metrics, total
from siad.contracts.errors import DeniedError

QUICK_S: Final = 1.0
EFFECTS: Final[Mapping[str, str]] = {
    "ingest": "images of {lines} are refused",
    "scorer": "inspection goes on; no pseudo-mask is drawn and no teacher fitted for {lines}",
    "labeler": "inspection goes on; no pseudo-mask is drawn and no teacher fitted for {lines}",
    "console": "inspection goes on; people can't answer captures of {lines}",
    "trainer": "inspection goes on; no segmenter is trained for {lines}",
    "inference": "{lines}: no verdicts; images wait on the broker",
}


def check_stages(client: httpx.Client, urls: Mapping[str, str], lines: str) -> Iterator[Finding]:
    """Examine every stage whose address is known.

    Args:
        client: with a short time-out.
        urls: addresses by stage; empty where no `siad up` runs on the data folder.
        lines: names of the lines, for the effect.
    """
    for name, effect in EFFECTS.items():
        if name in urls:
            yield from check_stage(client, name, urls[name], effect.format(lines=lines))
    if "ingest" in urls:
        yield from check_captures(client, urls["ingest"])


def check_stage(client: httpx.Client, name: str, url: str, effect: str) -> Iterator[Finding]:
    """Examine one stage by its probe and its metrics."""
    path = "healthz" if name == "scorer" else "readyz"
    try:
        response = client.get(f"{url}/{path}")
    except httpx.HTTPError as error:
        remedy = f"start it; if it ends again, its log says why in the event stage_ended (logs/{name}.log)"
        if isinstance(error, httpx.TimeoutException):
            remedy = "see the faults of broker and store; if there is none, restart it: it hangs"
        yield fault(name, f"does not respond at {url} ({type(error).__name__})", effect=effect, remedy=remedy)
        return
    if not response.is_success:
        remedy = "act on what it names; it resumes by itself"
        yield fault(name, f"is not ready: {describe_problem(response)}", effect=effect, remedy=remedy)
    elif b'"missing"' in response.content:
        remedy = "act on what it names; the stream resumes by itself, and no image is lost"
        stream = "the stream waits; direct requests are judged by the last known state"
        yield fault(name, f"answers without {describe_problem(response)}", effect=stream, remedy=remedy)
    else:
        yield ok(name, f"is ready at {url}")
    skew_s = _skew_s(client, url)
    if skew_s is not None and abs(skew_s) > SKEW_WARNING_S:
        yield judge_skew(f"the clock of {name}", skew_s, "its lines")
    if name != "scorer":
        yield from check_metrics(name, read_metrics(client, url))


def check_metrics(name: str, metrics: str) -> Iterator[Finding]:
    """Report quarantined lines and a stopped stage. Pure."""
    for line, value in by_label(metrics, "siad_line_quarantined", "line").items():
        if value:
            yield fault(
                name,
                f"line {line} is in quarantine: too many of its records in a row could not be handled",
                effect=f"records of {line} are set aside; other lines are not affected",
                remedy=f"siad dead-letters list --line {line} has the reasons; repair camera or sender, then replay",
            )
    if total(metrics, "siad_stage_stopped"):
        yield fault(
            name,
            "has stopped: records of several lines in a row could not be handled",
            effect="it handles no record of any line; one a minute is tried",
            remedy="see docs/runbooks/SiadStageStopped.md: go back to the version before, or repair and restart",
        )


def check_captures(client: httpx.Client, url: str) -> Iterator[Finding]:
    """Report captures without a verdict, and dead letters, by line."""
    try:
        ledger = read_ledger(client, url)
    except DeniedError as error:
        yield unknown("captures", f"not examined: {error}", remedy="set SIAD_API_KEY to a key with the scope read")
        return
    if ledger is None or ledger["as_of"] is None:
        yield unknown("captures", "the capture ledger is not available", remedy="ask again once ingest is ready")
        return
    before = False
    for line in ledger["lines"]:
        if line["missing"]:
            before = True
            yield fault(
                "captures",
                f"{line['missing']} captures of {line['line']} have no verdict after {line['missing_after_s']:g} s",
                effect=f"parts of {line['line']} passed the camera without a result",
                remedy="hold the parts back; see docs/runbooks/SiadCapturesMissing.md",
            )
        if line["dead_letter"]:
            before = True
            yield warning(
                "captures",
                f"{line['dead_letter']} captures of {line['line']} ended as dead letters",
                effect=f"these parts of {line['line']} have no usable verdict",
                remedy=f"siad dead-letters list --line {line['line']}",
            )
    if not before:
        yield ok("captures", "every capture has its verdict, or waits within its deadline")


def _skew_s(client: httpx.Client, url: str) -> float | None:
    """Seconds that a stage's clock is ahead.

    By the date of a response. None without a date, or where the response took too long to tell.
    """
    asked_at = datetime.now(UTC)
    try:
        date = parsedate_to_datetime(client.get(f"{url}/healthz").headers["date"])
    except (httpx.HTTPError, KeyError, ValueError):
        return None
    answered_at = datetime.now(UTC)
    is_quick = (answered_at - asked_at).total_seconds() < QUICK_S
    return (date - answered_at).total_seconds() if is_quick else None
