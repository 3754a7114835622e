"""Where `siad up` says that the console's page is."""

import pytest

from siad.apps.cli.up import _page_of


def test_with_credentials_required_it_names_the_first_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIAD_AUTH", "required")
    said = _page_of("http://127.0.0.1:9")  # no server listens there
    assert said.startswith("console: http://127.0.0.1:9. Sign in with an account; siad account add NAME --role admin")
    monkeypatch.setenv("SIAD_AUTH", "off")
    assert "siad sign-in asks again" in _page_of("http://127.0.0.1:9")
