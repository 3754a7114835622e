"""Settings refuse what they do not know, and say what they do."""

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from siad.runtime.settings import StageSettings, is_loopback, without_effect


class PaintSettings(StageSettings):
    """Read from ``SIAD_PAINT_*``."""

    model_config = SettingsConfigDict(env_prefix="SIAD_PAINT_")

    colour: str
    coats: int = Field(default=2, ge=1)
    token: SecretStr = Field(default=SecretStr("none"), max_length=6)


@pytest.fixture(autouse=True)
def _colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIAD_PAINT_COLOUR", "red")


def test_reads_the_environment_whatever_the_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("siad_paint_coats", "3")
    settings = PaintSettings.load()
    assert (settings.colour, settings.coats, settings.http_host) == ("red", 3, "127.0.0.1")


@pytest.mark.parametrize("name", ["SIAD_PAINT_COATSS", "siad_paint_coatss"])
def test_an_unknown_name_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "9")
    with pytest.raises(
        ValueError, match=rf"unknown settings {name}, nothing .*{name}: did you mean SIAD_PAINT_COATS\?"
    ):
        PaintSettings.load()


def test_unknown_names_and_bad_values_are_named_together(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIAD_PAINT_COATSS", "SIAD_PAINT_COLOURS"):
        monkeypatch.setenv(name, "9")
    monkeypatch.setenv("SIAD_PAINT_COATS", "0")
    with pytest.raises(ValueError, match=r"(?s)SIAD_PAINT_COATSS, SIAD_PAINT_COLOURS.*SIAD_PAINT_COATS='0' refused"):
        PaintSettings.load()


def test_an_unknown_name_that_is_like_none_lists_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIAD_PAINT_XYZZY", "9")
    with pytest.raises(ValueError, match=r"unknown settings SIAD_PAINT_XYZZY.*known: .*SIAD_PAINT_COATS, "):
        PaintSettings.load()


def test_a_given_environment_is_read_in_place_of_this_one() -> None:
    env = {"SIAD_PAINT_COLOUR": "blue", "siad_paint_coats": "4", "PATH": "/bin"}
    settings = PaintSettings.load(env)
    assert (settings.colour, settings.coats) == ("blue", 4)
    with pytest.raises(ValueError, match="SIAD_PAINT_COATS='many' refused"):
        PaintSettings.load({**env, "siad_paint_coats": "many"})


def test_names_that_no_process_reads_are_found() -> None:
    env = {"SIAD_INGST_HTTP_PORT": "1", "siad_stoer": "2", "SIAD_BUS_BOOTSTRAP": "3", "siad_ingest_x": "4", "PATH": "5"}
    assert without_effect(env) == ["SIAD_INGST_HTTP_PORT", "siad_stoer"]


def test_a_renamed_setting_stops_the_start_and_names_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PaintSettings, "renamed", {"SIAD_PAINT_LAYERS": "SIAD_PAINT_COATS"})
    monkeypatch.setenv("siad_paint_layers", "3")
    with pytest.raises(ValueError, match=r"siad_paint_layers is now SIAD_PAINT_COATS.*Set the new name"):
        PaintSettings.load()


def test_other_prefixes_are_not_its_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIAD_BUS_ANYTHING", "9")
    assert PaintSettings.load().coats == 2


def test_a_missing_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIAD_PAINT_COLOUR")
    with pytest.raises(ValueError, match="SIAD_PAINT_COLOUR is not set and has no default"):
        PaintSettings.load()


def test_a_bad_value_is_told_with_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIAD_PAINT_COATS", "0")
    with pytest.raises(ValueError, match=r"SIAD_PAINT_COATS='0' refused: .*greater than or equal to 1"):
        PaintSettings.load()


def test_a_secret_is_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIAD_PAINT_TOKEN", "hunter2hunter2")
    with pytest.raises(ValueError, match=r"SIAD_PAINT_TOKEN=\(hidden\)") as caught:
        PaintSettings.load()
    assert "hunter2" not in str(caught.value)


def test_listening_beyond_loopback_must_be_said_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIAD_PAINT_HTTP_HOST", "0.0.0.0")  # noqa: S104 - refused, that is the point
    with pytest.raises(ValueError, match=r"http_host '0\.0\.0\.0' can be reached from other machines"):
        PaintSettings.load()
    monkeypatch.setenv("SIAD_PAINT_ALLOW_REMOTE", "true")
    assert PaintSettings.load().http_host == "0.0.0.0"  # noqa: S104


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("::", False), ("siad", False)],
)
def test_only_this_machine_is_loopback(host: str, is_ours: bool) -> None:
    assert is_loopback(host) is is_ours


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        PaintSettings.load().coats = 4  # type: ignore[misc]
