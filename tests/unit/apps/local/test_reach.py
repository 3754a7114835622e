"""How commands find the broker and the store."""

import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from siad.apps.local.reach import forget_reach, reach, reach_settings, write_reach

MACHINE = {"SIAD_BUS_BOOTSTRAP": "127.0.0.1:1", "SIAD_STORE_BUCKET": "siad", "SIAD_STORE_SECRET_KEY": "s3cret"}
PLANT = {"SIAD_BUS_BOOTSTRAP": "kafka:9092", "SIAD_STORE_BUCKET": "plant"}


def test_what_a_machine_wrote_is_found_again_without_what_is_not_asked_for(tmp_path: Path) -> None:
    write_reach(tmp_path, MACHINE | {"SIAD_LABELER_HTTP_PORT": "1", "PATH": "/bin"})
    assert reach_settings(tmp_path, env={"PATH": "/bin"}) == MACHINE


def test_only_its_owner_may_read_the_keys_also_where_an_open_file_was_there(tmp_path: Path) -> None:
    path = tmp_path / "reach.json"
    path.write_text("{}")
    path.chmod(0o644)
    write_reach(tmp_path, MACHINE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_environment_counts_whole_where_it_names_both(tmp_path: Path) -> None:
    write_reach(tmp_path, MACHINE)
    assert reach_settings(tmp_path, env=PLANT) == PLANT


@pytest.mark.parametrize("half", [{"SIAD_BUS_BOOTSTRAP": "kafka:9092"}, {"SIAD_STORE_BUCKET": "plant"}])
def test_half_of_one_place_and_half_of_another_is_refused(tmp_path: Path, half: Mapping[str, str]) -> None:
    write_reach(tmp_path, MACHINE)
    with pytest.raises(ValueError, match="is not what runs on"):
        reach_settings(tmp_path, env=half)


def test_an_environment_that_agrees_with_the_machine_is_no_trouble(tmp_path: Path) -> None:
    write_reach(tmp_path, MACHINE)
    assert reach_settings(tmp_path, env={"SIAD_STORE_BUCKET": "siad"}) == MACHINE


def test_where_nothing_runs_the_way_out_is_said(tmp_path: Path) -> None:
    write_reach(tmp_path, MACHINE)
    forget_reach(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"siad up.*set now: SIAD_BUS_BOOTSTRAP"):
        reach_settings(tmp_path, env={"SIAD_BUS_BOOTSTRAP": "kafka:9092"})


def test_a_setting_that_is_refused_shows_no_secret(tmp_path: Path) -> None:
    write_reach(tmp_path, MACHINE)  # a secret key and no access key
    with pytest.raises(ValueError, match="access_key is not") as refusal:
        reach(tmp_path, env={})
    assert "s3cret" not in str(refusal.value)
