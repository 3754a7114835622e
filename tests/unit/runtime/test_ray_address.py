"""Programs and head of a Ray on loopback agree on address and authentication."""

import os

import pytest

from siad.runtime.ray_address import LOOPBACK_ENVIRONMENT, reach_loopback


@pytest.fixture(autouse=True)
def no_ray_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LOOPBACK_ENVIRONMENT:
        monkeypatch.setenv(name, "")  # so that what the test sets is undone
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("address", "mode"), [("127.0.0.1:6379", "disabled"), ("localhost:6379", "disabled"), ("ray.plant:6379", None)]
)
def test_a_token_of_this_user_is_not_asked_for_on_loopback(address: str, mode: str | None) -> None:
    reach_loopback(address)
    assert os.environ.get("RAY_AUTH_MODE") == mode


def test_what_a_person_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    reach_loopback("127.0.0.1:6379")
    assert os.environ["RAY_AUTH_MODE"] == "token"
