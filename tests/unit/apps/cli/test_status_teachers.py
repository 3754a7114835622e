"""The teachers in `siad status`: what each promises, and which normals a person should look at."""

import io
from typing import Any

import httpx
import pytest
from rich.console import Console

from services.labeler.domain.refits import why_no_stream
from siad.apps.cli.status import print_fits, print_shortages, print_teachers
from siad.apps.local.stage_status import read_fits, read_lines, read_teachers
from siad.contracts.place import Place

TEACHER: dict[str, Any] = {
    "line": "cam-1", "product": "cap", "weights": "abcdef0123456789", "method": "feature-memory", "normals": 12,
    "promise": "expect at most 10.00% of good parts", "left_out": [f"{number:032x}" for number in range(7)],
    "doubted": [], "serials": {f"{1:032x}": "cap-0017"},
}  # fmt: skip


def printed(teachers: list[dict[str, Any]] | None) -> str:
    out = io.StringIO()
    print_teachers(teachers, Console(file=out, width=200))
    return out.getvalue()


def test_promise_and_odd_normals_stand_below_by_line_and_product() -> None:
    said = printed([TEACHER])
    row = next(line for line in said.splitlines() if "abcdef012345" in line)
    assert row.replace("\u2502", " ").split() == ["cam-1", "cap", "abcdef012345", "feature-memory", "12"]
    assert "cam-1/cap: expect at most 10.00% of good parts\n" in said
    assert f"cam-1/cap: left out as outliers: {0:032x}, cap-0017 (capture {1:032x}), {2:032x}, " in said
    assert f"{4:032x}, and 2 more; check them" in said
    assert f"{5:032x}" not in said
    assert f"cam-1/cap: to see one: siad show {0:032x} --save DIR\n" in said
    assert "suspect" not in said


def test_a_paused_line_is_named_with_the_reason_and_the_way_out() -> None:
    paused = {
        **TEACHER,
        "learning_paused": "13 of 25 are marked. siad line put LINE --learning on",
        "last_fit": "declined",
    }
    said = printed([paused])
    assert "cam-1/cap: learning is paused: 13 of 25 are marked. siad line put cam-1 --learning on\n" in said
    assert "cam-1/cap: latest fit: declined\n" in said
    assert "paused" not in printed([TEACHER])


def test_a_teacher_that_learns_no_stream_is_named_with_the_reason() -> None:
    assert why_no_stream("feature-memory") == ""
    said = printed([{**TEACHER, "no_stream": why_no_stream("autoencoder")}])
    assert "cam-1/cap: refits of autoencoder learn normals and captures confirmed good, and nothing of " in said
    assert "stream" not in printed([TEACHER])


def test_a_teacher_without_a_promise_or_doubts_is_a_row_alone() -> None:
    said = printed([{**TEACHER, "promise": "", "left_out": []}])
    assert "cam-1/cap" not in said
    assert "abcdef012345" in said


@pytest.mark.parametrize(("status", "told"), [(503, False), (404, False), (200, True)])
def test_an_unavailable_labeler_is_reported(status: int, told: bool) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/teachers"
        return httpx.Response(status, json={"teachers": [TEACHER]})

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        teachers = read_teachers(client, "http://labeler")
    assert teachers == ([TEACHER] if told else None)
    assert ("the labeler did not respond" in printed(teachers)) != told


def shortages(
    lines: list[dict[str, Any]] | None, normals: dict[Place, int], teachers: list[dict[str, Any]] | None
) -> str:
    out = io.StringIO()
    print_shortages(lines, normals, teachers, Console(file=out, width=40))
    return out.getvalue()


def test_a_line_that_waits_for_normals_is_told_with_the_command() -> None:
    lines = [{"line": "cam-1", "product": "cap"}, {"line": "cam-2", "product": "lid"}]
    said = shortages(lines, {Place("cam-2", "lid"): 9}, [TEACHER])
    assert said == (
        "line cam-2 has 9 of 10 normals of lid; 1 more is needed before a teacher is fitted: "
        "siad send FILES --line cam-2 --intent normal\n"
    )
    assert shortages(lines, {}, None) == shortages(None, {}, []) == ""


def test_a_plant_without_lines_names_the_next_command() -> None:
    assert shortages([], {}, []) == "no lines yet; register one: siad line put LINE --product PRODUCT\n"


def test_lines_are_read_from_ingest() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/lines"
        return httpx.Response(200, json={"lines": [{"line": "cam-1"}]})

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        assert read_lines(client, "http://ingest") == [{"line": "cam-1"}]


def test_what_the_normals_of_a_teacher_are_is_printed() -> None:
    assert "cam-1/cap: normals are 256x192 px, grey, 12 of 16 bits\n" in printed(
        [{**TEACHER, "profile": "256x192 px, grey, 12 of 16 bits"}]
    )


def test_normals_unlike_the_rest_are_named_with_what_to_do() -> None:
    odd = [
        {
            "capture_id": f"{number:032x}",
            "own": "640x480 px, grey",
            "others": "the other 10: 900x900 px, colour",
            "differs_in": ["size", "channels"],
        }
        for number in (1, 9)
    ]
    said = printed([{**TEACHER, "left_out": [], "odd_normals": odd}])
    assert (
        f"cam-1/cap: odd normals: cap-0017 (capture {1:032x}), {9:032x}: 640x480 px, grey; the other 10: 900x900 px, "
        "colour; learned from like the others, so such images are scored too\n"
    ) in said
    assert (
        f"cam-1/cap: if one was sent by mistake, send another normal, then: siad forget capture {1:032x} --line cam-1; "
        "if parts of every size are meant: siad line put cam-1 --sizes any\n"
    ) in said
    assert "odd normals" not in printed([TEACHER])


def test_outliers_are_told_by_how_they_came_to_be_learned() -> None:
    sent, answered, of_stream = (f"{number:032x}" for number in range(3))
    odd = {"left_out": [sent, answered, of_stream], "answered": [answered], "of_stream": [of_stream]}
    said = printed([{**TEACHER, **odd, "serials": {}}])
    assert f"left out as outliers: {sent}; check them and send other normals instead\n" in said
    assert f"left out as outliers: {answered}; people called them good. Check them and correct a wrong answer" in said
    assert f"left out as outliers: {of_stream}; they only scored low, and have no answer" in said


def test_a_teacher_in_quarantine_is_told_with_the_reason_and_the_way_out() -> None:
    said = printed([{**TEACHER, "quarantine": "a wrong part among the normals"}])
    assert "cam-1/cap: teacher abcdef012345 is in quarantine: a wrong part among the normals. It serves until" in said
    assert "quarantine" not in printed([TEACHER])


def test_fits_under_way_and_fits_that_wait_are_told() -> None:
    note = {"line": "cam-1", "product": "cap", "since": None, "cause": "", "short_of": "", "refused": ""}
    body = {
        "teachers": [],
        "fits": [
            {**note, "since": "2026-01-02T12:03:04.5Z", "cause": "first"},
            {**note, "product": "lid", "short_of": "9 are left; send 1 more"},
            {**note, "product": "nut", "refused": "a teacher needs 10 normals"},
        ],
    }
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=body))) as client:
        fits = read_fits(client, "http://labeler")
    out = io.StringIO()
    print_fits(fits, Console(file=out, width=40))
    assert out.getvalue() == (
        "cam-1/cap: a teacher is being fitted since 12:03:04 UTC (cause: first)\n"
        "cam-1/lid: refit waits: 9 are left; send 1 more\n"
        "cam-1/nut: latest fit was refused: a teacher needs 10 normals\n"
    )
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(503))) as client:
        assert read_fits(client, "http://labeler") == []
