"""Where the store is: what is refused before anything starts."""

import pytest

from siad.runtime.blobs.settings import StoreSettings

KEYS = {"SIAD_STORE_ACCESS_KEY": "a", "SIAD_STORE_SECRET_KEY": "very-secret"}
LOCAL = {"SIAD_STORE_ENDPOINT_URL": "http://127.0.0.1:8333", "SIAD_STORE_BUCKET": "plant"} | KEYS


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no store."""
    for name in StoreSettings.model_fields:
        monkeypatch.delenv(f"SIAD_STORE_{name.upper()}", raising=False)
    return monkeypatch


def load(env: pytest.MonkeyPatch, **values: str) -> StoreSettings:
    for name, value in values.items():
        env.setenv(name, value)
    return StoreSettings.load()


def test_what_a_local_store_needs_is_read(env: pytest.MonkeyPatch) -> None:
    found = load(env, **LOCAL)
    assert (found.endpoint_url, found.bucket, found.create_bucket) == ("http://127.0.0.1:8333", "plant", False)
    assert found.secret_key is not None
    assert found.secret_key.get_secret_value() == "very-secret"


def test_a_mapping_means_what_the_environment_would(env: pytest.MonkeyPatch) -> None:
    assert load(env, **LOCAL) == StoreSettings.of(LOCAL)


def test_there_is_no_bucket_by_default(env: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="SIAD_STORE_BUCKET is not set and has no default"):
        load(env)


def test_aws_and_its_own_keys_need_no_more_than_a_bucket(env: pytest.MonkeyPatch) -> None:
    found = load(env, SIAD_STORE_BUCKET="plant")
    assert (found.endpoint_url, found.access_key) == (None, None)


@pytest.mark.parametrize("bucket", ["", "ab", "Plant", "s3://plant", "plant/images", "-plant"])
def test_what_is_no_bucket_name_is_refused(env: pytest.MonkeyPatch, bucket: str) -> None:
    with pytest.raises(ValueError, match="SIAD_STORE_BUCKET"):
        load(env, SIAD_STORE_BUCKET=bucket)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8333", "localhost:8333", "ftp://x", "http://"])
def test_what_is_no_address_is_refused_with_an_example(env: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(ValueError, match=r"is not an address; write http://host:port"):
        load(env, SIAD_STORE_BUCKET="plant", SIAD_STORE_ENDPOINT_URL=url)


@pytest.mark.parametrize("given", KEYS)
def test_half_a_pair_of_keys_is_refused_without_showing_it(env: pytest.MonkeyPatch, given: str) -> None:
    with pytest.raises(ValueError, match="set both, or neither") as refused:
        load(env, SIAD_STORE_BUCKET="plant", **{given: "very-secret"})
    assert "very-secret" not in str(refused.value)


def test_settings_shown_hide_the_keys() -> None:
    assert "very-secret" not in repr(StoreSettings.of(LOCAL))
