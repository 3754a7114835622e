"""Where `siad up` says that the console's page is."""

import pytest

from siad.apps.cli.up import _page_of, _warnings


def test_with_credentials_required_it_names_the_first_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIAD_AUTH", "required")
    said = _page_of("http://127.0.0.1:9")  # no server listens there
    assert said.startswith("console: http://127.0.0.1:9. Sign in with an account; siad account add NAME --role admin")
    monkeypatch.setenv("SIAD_AUTH", "off")
    assert "siad sign-in asks again" in _page_of("http://127.0.0.1:9")


def test_a_console_without_a_key_for_ingest_is_warned_of() -> None:
    [said] = _warnings({"SIAD_AUTH": "required"})
    assert said.startswith("warning: SIAD_AUTH=required, and SIAD_CONSOLE_INGEST_KEY is not set: on the console's page")
    assert "siad key create console --scope admin" in said
    assert _warnings({"SIAD_AUTH": "required", "SIAD_CONSOLE_INGEST_KEY": "siad_x"}) == []
    assert _warnings({}) == []
