"""Tables of commands: nothing essential is cut at 80 and 40 columns, in a pipe, or without colour."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

from siad.apps.cli import line, status, verdicts
from siad.apps.cli.tables import TableContent, print_pairs, print_table
from tests.unit.apps.cli.events import verdict

WORDS = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)


def printed(content: TableContent, width: int | None) -> str:
    """Output on a terminal of a width; None: in a pipe."""
    out = io.StringIO()
    console = Console(file=out, width=width or 20, force_terminal=width is not None, color_system=None)
    print_table(console, content)
    return out.getvalue()


@given(
    st.integers(1, 8).flatmap(
        lambda count: st.tuples(
            st.lists(WORDS, min_size=count, max_size=count),
            st.lists(st.lists(WORDS, min_size=count, max_size=count), max_size=4),
        )
    ),
    st.sampled_from([40, 80, 200, None]),
    st.booleans(),
)
def test_nothing_is_cut_at_any_width(
    table: tuple[list[str], list[list[str]]], width: int | None, is_text: bool
) -> None:
    columns, rows = table
    text = printed(TableContent(columns=columns, rows=rows, is_last_text=is_text), width)
    if width is not None:
        assert max(map(len, text.splitlines()), default=0) <= width
    for row in rows:
        letters = iter(text)
        assert all(letter in letters for cell in row for letter in cell if not set(cell) & set("│"))


def test_a_wide_table_has_lines_a_tighter_one_none_and_a_narrow_one_blocks() -> None:
    content = TableContent(columns=("line", "weights"), rows=[["press-3", "a" * 20], ["press-4", "b" * 20]], title="t")
    assert "│ press-3" in printed(content, 40)
    assert "press-3  aaaa" in printed(content, 31)
    assert "│" not in printed(content, 31)
    blocks = printed(content, 20)
    assert "line     press-3" in blocks
    assert "weights  aaaaaaaaaaa" in blocks


def test_a_pipe_gets_plain_lines_at_full_width() -> None:
    content = TableContent(columns=("a", "+ b\nc"), rows=[["x" * 300, Text("1", style="red")]], title="t")
    assert printed(content, None).splitlines() == ["t", f"{'a':300}  + b c", f"{'x' * 300}  1"]


def test_pairs_are_folded_on_a_terminal_and_whole_in_a_pipe() -> None:
    for width in (40, None):
        out = io.StringIO()
        print_pairs(Console(file=out, width=width or 40, force_terminal=width is not None), [("id", "x" * 100)])
        assert out.getvalue().count("x") == 100
        assert (len(out.getvalue().splitlines()) == 1) == (width is None)


STAGES = ("ingest", "labeler", "console", "trainer", "inference", "scorer")
LINES = [
    {
        "line": f"press-with-a-long-name-{number}", "product": "cap-28mm-blue", "revision": 12345, "shards": 8,
        "false_reject_budget": 0.0125, "deadline_s": 2.5, "changed_at": "2026-11-30T08:30:11.123456+00:00",
        "method": "feature-memory", "region": [0.1] * 8, "input_px": 1024,
    }
    for number in range(2)
]  # fmt: skip
TEACHER = {
    "line": "press-with-a-long-name-0", "product": "cap-28mm-blue", "weights": "7168ef084822" + "0" * 52,
    "method": "feature-memory", "normals": 12, "promise": "", "left_out": [], "doubted": [], "serials": {},
}  # fmt: skip
BOOKS = {
    "as_of": "x", "age_s": 3.0, "behind": 0,
    "lines": [{"line": "press-with-a-long-name-0", "received": 1234567, "verdict": 1234567, "waiting": 0,
               "dead_letter": 0, "missing": 0, "normal": 12, "stale": 0}],
}  # fmt: skip


def answer(request: httpx.Request) -> httpx.Response:
    body: Any = {
        "/v1/teachers": {"teachers": [TEACHER]}, "/v1/books": BOOKS, "/v1/lines": {"lines": LINES}, "/readyz": {},
    }.get(request.url.path, {})  # fmt: skip
    if request.url.path == "/readyz" and request.url.port == 8402:
        return httpx.Response(503, json={"detail": "waiting for bus", "missing": {"bus": "kafka-1:9092 refused"}})
    return httpx.Response(200, text="") if request.url.path == "/metrics" else httpx.Response(200, json=body)


Run = Callable[[Any, list[str], int], str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    state = {name: f"http://127.0.0.1:{8400 + number}" for number, name in enumerate(["ingest", "scorer", "labeler"])}
    state |= {"trainer": "http://127.0.0.1:8403", "inference": "http://127.0.0.1:8404"}
    state |= {"console": "http://127.0.0.1:8405", "bus": "kafka"}
    client = httpx.Client(transport=httpx.MockTransport(answer))
    monkeypatch.setattr(status, "read_state", lambda _: state)
    monkeypatch.setattr("siad.apps.cli.status.httpx.Client", lambda **_: client)

    async def lines(*_: Any) -> list[dict[str, Any]]:
        return LINES

    monkeypatch.setattr("siad.apps.client.IngestClient.list_lines", lines)

    def output(module: Any, args: list[str], width: int) -> str:
        from siad.apps.cli.__main__ import app

        monkeypatch.setattr(module, "console", Console(force_terminal=True, color_system=None, width=width))
        return CliRunner().invoke(app, args).stdout

    return output


@pytest.mark.parametrize("width", [80, 40])
@pytest.mark.parametrize(
    ("module", "args", "essential"),
    [
        (status, ["status"], ["http://127.0.0.1:8404", "7168ef084822", "press-with-a-long-name-0", "1234567",
                              "feature-memory", "kafka-1:9092refused", "labelerisnotready"]),
        (line, ["line", "list", "--url", "http://x"], ["press-with-a-long-name-1", "cap-28mm-blue", "12345", "1.25%",
                                                       "2.5s", "2026-11-3008:30", "feature-memory,at1024px"]),
    ],
)  # fmt: skip
def test_commands_cut_nothing_on_narrow_terminals(
    run: Run, module: Any, args: list[str], essential: list[str], width: int
) -> None:
    text = run(module, args, width)
    whole = "".join(text.split())
    assert [part for part in essential if part not in whole] == []
    assert "…" not in text


def test_dead_letters_and_verdicts_cut_nothing() -> None:
    content = TableContent(
        columns=("id", "stage", "line", "when (UTC)", "kind", "reason"), is_last_text=True,
        rows=[["inference-3-17", "inference", "press-3", "2026-01-01 00:00:00", "poison", "image " + "x" * 90]],
    )  # fmt: skip
    for width in (80, 40):
        text = printed(content, width)
        assert text.count("x") == 90
        assert "inference-3-17" in text


@pytest.mark.parametrize("width", [120, 80, 40])
def test_a_verdict_fits_its_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    out = io.StringIO()
    monkeypatch.setattr(verdicts, "console", Console(file=out, force_terminal=True, color_system=None, width=width))
    one = replace(verdict(2, 3.2), line="press-3", serial="S" * 30, mask_uri="s3://siad/" + "m" * 100)
    verdicts._print_text(one)
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert (text.count("S"), text.count("m") >= 100, one.capture_id in "".join(text.split())) == (30, True, True)


def test_no_color_and_json_have_no_escapes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    from siad.apps.cli.__main__ import app

    monkeypatch.setattr(line, "console", Console(force_terminal=True))
    assert "\x1b[3" not in CliRunner().invoke(app, ["line", "list", "--url", "http://x"]).stdout
    body = json.loads(CliRunner().invoke(app, ["status", "--json"]).stdout)
    assert body["teachers"][0]["weights"] == TEACHER["weights"]
