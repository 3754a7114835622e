"""Settings of inference."""

import pytest

from services.inference.settings import InferenceSettings
from services.ingest.settings import IngestSettings


@pytest.mark.parametrize("name", ["MISSING_AFTER_S", "MISSING_GRACE_S", "BOOKS_EVERY_S"])
def test_a_setting_of_the_capture_ledger_names_the_one_of_ingest(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"SIAD_INFERENCE_{name}", "30")
    with pytest.raises(ValueError, match=f"SIAD_INFERENCE_{name} is now SIAD_INGEST_{name}"):
        InferenceSettings.load()
    monkeypatch.setenv(f"SIAD_INGEST_{name}", "30")
    assert getattr(IngestSettings.load(), name.lower()) == 30
