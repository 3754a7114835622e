"""Settings of every stage are checked before `siad up` starts anything."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siad.apps.local.machine import STAGE_PORTS, Machine
from siad.apps.local.ports import PortRequest
from siad.apps.local.stage_settings import KINDS, check_settings, client_url, port_requests
from tests.unit.apps.local.environment import without_siad

NAMES = [name for kind in KINDS for name in kind.names()]


def check(env: dict[str, str], extra: dict[str, str] | None = None) -> list[str]:
    notes: list[str] = []
    check_settings(env, extra or {}, notes.append)
    return notes


def refusal(env: dict[str, str]) -> str:
    with pytest.raises(ValueError, match="nothing was started") as caught:
        check(env)
    return str(caught.value)


def requests(env: dict[str, str]) -> dict[str, PortRequest]:
    return port_requests(env, check_settings(env, {}, lambda _: None), STAGE_PORTS)


def test_an_environment_without_settings_is_accepted_silently() -> None:
    assert check({"PATH": "/bin"}) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SIAD_INGEST_HTTP_PORT", "99999"),
        ("SIAD_TRAINER_EPOCHS", "many"),
        ("SIAD_LABELER_LOG_LEVEL", "LOUD"),
        ("SIAD_INFERENCE_HTTP_HOST", "0.0.0.0"),  # noqa: S104 - refused
        ("SIAD_BUS_BOOTSTRAP", "http://broker"),
        ("SIAD_STORE_BUCKET", "No Bucket"),
        ("siad_ingest_uploads_max", "0"),
    ],
)
def test_a_bad_value_is_named_with_its_setting(name: str, value: str) -> None:
    text = refusal({name: value})
    assert value in text
    assert name.upper().rpartition("_")[2].lower() in text.lower()


def test_bad_settings_of_several_stages_are_all_named() -> None:
    text = refusal({"SIAD_INGEST_HTTP_PORT": "x", "SIAD_TRAINER_EPOCHS": "0", "SIAD_BUS_PARTITIONS": "-1"})
    assert all(name in text for name in ("SIAD_INGEST_HTTP_PORT='x'", "SIAD_TRAINER_EPOCHS='0'", "SIAD_BUS_PARTITIONS"))


def test_a_secret_is_not_shown() -> None:
    assert "hunter2" not in refusal({"SIAD_STORE_SECRET_KEY": "hunter2", "SIAD_STORE_BUCKET": "plant"})


def test_a_misspelt_name_is_refused_or_warned_about_with_the_nearest() -> None:
    assert "did you mean SIAD_INGEST_HTTP_PORT?" in refusal({"SIAD_INGEST_HTP_PORT": "1"})
    assert check({"SIAD_INGST_HTTP_PORT": "1"}) == [
        "warning: SIAD_INGST_HTTP_PORT is no setting and has no effect; did you mean SIAD_INGEST_HTTP_PORT?"
    ]
    (far,) = check({"SIAD_ZZZ": "1"})
    assert "docs/reference.md" in far


def test_settings_that_this_command_overrides_are_told() -> None:
    assert "a scorer is started here" in refusal({"SIAD_LABELER_SCORER_URL": "http://elsewhere:1"})
    assert "SIAD_STORE_ENDPOINT_URL set without SIAD_STORE_BUCKET" in refusal({"SIAD_STORE_ENDPOINT_URL": "http://s3"})
    assert check({"SIAD_STORE_CREATE_BUCKET": "true"}) == []
    assert check({"SIAD_STORE_ENDPOINT_URL": "http://s3", "SIAD_STORE_BUCKET": "plant"}) == []
    (note,) = check({"SIAD_TRAINER_EPOCHS": "3"}, {"SIAD_TRAINER_EPOCHS": "5"})
    assert note == "warning: SIAD_TRAINER_EPOCHS=3 has no effect here: this command sets it to 5"


def test_ports_of_the_environment_are_requested() -> None:
    found = requests(
        {"siad_ingest_http_port": "9000", "SIAD_LABELER_SCORER_PORT": "9001", "SIAD_TRAINER_HTTP_PORT": "0"}
    )
    assert (found["ingest"].fixed, found["scorer"].fixed, found["trainer"].fixed) == (9000, 9001, 0)
    assert (found["inference"].fixed, found["inference"].preferred) == (None, 8404)
    assert found["scorer"].setting == "SIAD_LABELER_SCORER_PORT"
    remote = {"SIAD_INGEST_HTTP_HOST": "0.0.0.0", "SIAD_INGEST_ALLOW_REMOTE": "true"}  # noqa: S104
    assert requests(remote)["ingest"].host == "0.0.0.0"  # noqa: S104


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104
        ("::", "http://[::1]:80"),
        ("10.1.2.3", "http://10.1.2.3:80"),
    ],
)
def test_a_stage_is_reached_where_it_listens(host: str, url: str) -> None:
    assert client_url(host, 80) == url


def test_a_taken_port_of_a_setting_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    without_siad(monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("SIAD_INGEST_HTTP_PORT", str(port))
        with pytest.raises(OSError, match=rf"SIAD_INGEST_HTTP_PORT={port}: port {port} is taken by .* \(process \d+\)"):
            Machine(data=None, extra={}).check(lambda _: None)  # type: ignore[arg-type] # nothing is written


@given(st.dictionaries(st.sampled_from(NAMES), st.text(st.characters(codec="ascii"), max_size=12), max_size=4))
def test_any_values_are_accepted_or_refused_by_name(env: dict[str, str]) -> None:
    try:
        check(env)
    except ValueError as error:
        text = str(error)
    else:
        return
    assert "nothing was started" in text
    assert "pydantic" not in text
