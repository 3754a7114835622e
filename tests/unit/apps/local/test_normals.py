"""How many normals a line has and needs, for `siad status` and `siad send`."""

import httpx
import pytest

from siad.apps.local.normals import count_normals, find_shortages, report_after_sending
from siad.contracts.place import Place

PLACE = Place("press-3", "cap-28mm")
SHORT = "line press-3 has 9 of 10 normals of cap-28mm; 1 more is needed before a teacher is fitted"


def metrics(count: int) -> str:
    return (
        "# TYPE siad_labeler_normals_captures gauge\n"
        f'siad_labeler_normals_captures{{line="press-3",product="cap-28mm"}} {count}.0\n'
        'siad_labeler_normals_captures{line="press-4",product="lid"} 3.0\n'
    )


def test_normals_are_counted_by_line_and_product() -> None:
    assert count_normals(metrics(9)) == {PLACE: 9, Place("press-4", "lid"): 3}
    assert count_normals("") == {}


def test_lines_without_a_teacher_say_what_is_missing() -> None:
    lines = [{"line": "press-3", "product": "cap-28mm"}, {"line": "press-5", "product": "lid"}]
    counts = {PLACE: 9}
    assert find_shortages(lines, counts, []) == {
        PLACE: SHORT,
        Place(
            "press-5", "lid"
        ): "line press-5 has 0 of 10 normals of lid; 10 more are needed before a teacher is fitted",
    }
    assert find_shortages(lines[:1], counts, [PLACE]) == {}
    assert find_shortages(lines[:1], {PLACE: 10}, []) == {}


class Labeler:
    """A labeler whose count grows with each answer."""

    def __init__(self, *counts: int) -> None:
        self.counts = list(counts)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/metrics"
        return httpx.Response(200, text=metrics(self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]))


def report(*counts: int, sent: int, before: int = 0) -> str:
    transport = httpx.MockTransport(Labeler(*counts))
    return report_after_sending(
        "http://labeler", PLACE, sent=sent, before=before, transport=transport, sleep=lambda _: None
    )


@pytest.mark.parametrize("counts", [(9,), (4, 6, 9)])
def test_sending_waits_until_the_labeler_has_counted(counts: tuple[int, ...]) -> None:
    assert report(*counts, sent=9) == SHORT


def test_enough_normals_are_told_too() -> None:
    assert report(12, sent=2).startswith("line press-3 has 12 normals of cap-28mm, enough for a teacher")


def test_normals_of_before_do_not_end_the_wait() -> None:
    assert report(5, 5, 10, sent=5, before=5).startswith("line press-3 has 10 normals of cap-28mm, enough")


def test_a_labeler_that_lags_ends_the_wait() -> None:
    text = report(4, sent=9)
    assert text.startswith("line press-3 has 4 of 10 normals")
    assert "9 were just sent; the labeler has not counted all of them yet" in text


def test_without_the_labeler_the_rule_is_told() -> None:
    assert "once line press-3 has 10 normals" in report_after_sending("", PLACE, sent=9)

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    away = report_after_sending("http://labeler", PLACE, sent=9, transport=httpx.MockTransport(refuse))
    assert "once line press-3 has 10 normals" in away
