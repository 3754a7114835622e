"""How commands find the broker and the store."""

import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from siad.apps.local.connection import connect, connection_settings, remove_connection, write_connection

MACHINE = {"SIAD_BUS_BOOTSTRAP": "127.0.0.1:1", "SIAD_STORE_BUCKET": "siad", "SIAD_STORE_SECRET_KEY": "s3cret"}
PLANT = {"SIAD_BUS_BOOTSTRAP": "kafka:9092", "SIAD_STORE_BUCKET": "plant"}


def test_settings_of_a_machine_are_read_again_without_other_variables(tmp_path: Path) -> None:
    write_connection(tmp_path, MACHINE | {"SIAD_LABELER_HTTP_PORT": "1", "PATH": "/bin"})
    assert connection_settings(tmp_path, env={"PATH": "/bin"}) == MACHINE


def test_the_file_is_readable_only_by_its_owner_even_if_it_replaces_an_open_one(tmp_path: Path) -> None:
    path = tmp_path / "reach.json"
    path.write_text("{}")
    path.chmod(0o644)
    write_connection(tmp_path, MACHINE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_environment_that_names_both_is_used_alone(tmp_path: Path) -> None:
    write_connection(tmp_path, MACHINE)
    assert connection_settings(tmp_path, env=PLANT) == PLANT


@pytest.mark.parametrize("half", [{"SIAD_BUS_BOOTSTRAP": "kafka:9092"}, {"SIAD_STORE_BUCKET": "plant"}])
def test_broker_and_store_of_two_plants_are_refused(tmp_path: Path, half: Mapping[str, str]) -> None:
    write_connection(tmp_path, MACHINE)
    with pytest.raises(ValueError, match="differs from the `siad up` on"):
        connection_settings(tmp_path, env=half)


def test_an_environment_equal_to_the_file_is_accepted(tmp_path: Path) -> None:
    write_connection(tmp_path, MACHINE)
    assert connection_settings(tmp_path, env={"SIAD_STORE_BUCKET": "siad"}) == MACHINE


def test_without_a_machine_the_error_names_the_remedies(tmp_path: Path) -> None:
    write_connection(tmp_path, MACHINE)
    remove_connection(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"siad up.*set now: SIAD_BUS_BOOTSTRAP"):
        connection_settings(tmp_path, env={"SIAD_BUS_BOOTSTRAP": "kafka:9092"})


def test_an_invalid_setting_shows_no_secret(tmp_path: Path) -> None:
    write_connection(tmp_path, MACHINE)  # a secret key and no access key
    with pytest.raises(ValueError, match="access_key is not") as refusal:
        connect(tmp_path, env={})
    assert "s3cret" not in str(refusal.value)
