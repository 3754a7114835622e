"""Rules with shorter times, and transcripts in pages."""

import yaml

from tests.architecture.test_monitoring import RULES
from tests.e2e.runbooks.pages import transcript_of, with_transcript
from tests.e2e.runbooks.rules import shortened


def rule(**fields: str) -> dict[str, str]:
    made = shortened({"groups": [{"name": "g", "rules": [fields]}]}, 20)
    found: dict[str, str] = made["groups"][0]["rules"][0]
    return found


def test_waits_windows_and_offsets_are_divided() -> None:
    found = rule(expr="increase(a_total[30m]) > 0 or a_total unless a_total offset 1d", **{"for": "2m"})
    assert found == {"expr": "increase(a_total[90s]) > 0 or a_total unless a_total offset 4320s", "for": "6s"}


def test_limits_stay_but_the_age_of_a_known_state() -> None:
    assert rule(expr="max(siad_lag_seconds) > 60")["expr"] == "max(siad_lag_seconds) > 60"
    aged = rule(expr="max by (instance) (siad_inference_known_state_seconds) > 900")["expr"]
    assert aged == "max by (instance) (siad_inference_known_state_seconds) > 45"


def test_no_wait_of_the_chart_becomes_zero() -> None:
    short = shortened(yaml.safe_load((RULES / "alerts.yaml").read_text()), 10_000)
    assert {one["for"] for group in short["groups"] for one in group["rules"] if "for" in one} == {"1s", "2s"}


def test_a_transcript_replaces_the_former_of_the_same_play_and_leaves_others() -> None:
    found = {"date": "2026-11-30", "fault": "It hangs.", "transcript": ["16:00:00  old"]}
    page = with_transcript("# A\n\n## It is over when\n\nIt ends.\n", "hangs", found, divisor=20)
    page = with_transcript(page, "dies", {**found, "transcript": ["16:01:00  other"]}, divisor=20)
    page = with_transcript(page, "hangs", {**found, "transcript": ["17:00:00  new"]}, divisor=20)
    assert "old" not in page
    assert "17:00:00  new" in page
    assert "16:01:00  other" in page
    assert page.count("## Played through") == 1


def test_a_page_has_the_rows_of_its_own_line() -> None:
    rows = [
        "16:00:00  drift-focus: the lens moves",
        "16:00:01  firing SiadDriftLight: The images of drift-light/cube are darker",
        "16:00:02  firing SiadDriftFocus: The images of drift-focus/cube are no longer as sharp",
        "          drift-light/cube: light since now",
        "            brightness: 0.4",
        "          drift-focus/cube: focus since now",
        "            sharpness: -3",
        "16:00:09  SiadDriftLight no longer fires",
        "16:00:10  SiadDriftFocus no longer fires",
    ]
    kept = transcript_of(rows, "SiadDriftFocus", "drift-focus")
    assert kept == [rows[0], rows[2], rows[5], rows[6], rows[8]]
    assert transcript_of(rows, "SiadDriftFocus", "") == rows
