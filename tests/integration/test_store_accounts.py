"""Accounts of the stages on a store with policies: each has its own prefixes, and is refused elsewhere."""

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from siad.apps.cli.__main__ import app
from siad.contracts.errors import ConflictError, DeniedError
from siad.contracts.store_grants import PREFIXES, store_grant_of
from siad.contracts.topic_grants import ACCOUNTS
from siad.runtime.blobs.open import check_store
from siad.runtime.blobs.port import IF_ABSENT, PutCondition
from tests.fixtures.store_accounts import BUCKET, AuthorizingStore, authorizing_store

NARROW = ("pointers/lines/", "pointers/teacher/", "pointers/segmenter/", "pointers/leases/", "access/audit/")
PLACES = tuple(f"{prefix}there" for prefix in (*PREFIXES, *NARROW))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthorizingStore]:
    """A store with an object below every prefix."""
    with authorizing_store(tmp_path_factory.mktemp("store-accounts")) as found:
        operator = found.blobs("operator")
        for key in PLACES:
            operator.put(key, b"x")
        yield found


def may(prefixes: tuple[str, ...], key: str) -> bool:
    return key.startswith(prefixes)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_an_account_reads_and_writes_its_prefixes_and_no_other(store: AuthorizingStore, account: str) -> None:
    blobs, grant = store.blobs(account), store_grant_of(account)
    check_store(blobs)
    found = {
        key: (_is_allowed(lambda key=key: blobs.get(key)), _is_allowed(lambda key=key: blobs.put(key, b"x")))
        for key in PLACES
    }
    # SeaweedFS has no right to delete alone
    changed = (*grant.writes, *grant.deletes)
    assert found == {key: (may(grant.reads, key), may(changed, key)) for key in PLACES}


@pytest.mark.parametrize("account", ACCOUNTS)
def test_an_account_knows_what_is_missing_and_lists(store: AuthorizingStore, account: str) -> None:
    blobs = store.blobs(account)
    assert blobs.head("images/absent") is None
    assert [info.key for info in blobs.list("images/")] == ["images/there"]
    blobs.probe()


def test_conditions_hold_below_an_accounts_own_prefix(store: AuthorizingStore) -> None:
    blobs = store.blobs("trainer")
    etag = blobs.put("pointers/segmenter/press/cap.json", b"1", condition=IF_ABSENT, tags={"kind": "pointer"})
    blobs.put("pointers/segmenter/press/cap.json", b"2", condition=PutCondition(etag))
    with pytest.raises(ConflictError):
        blobs.put("pointers/segmenter/press/cap.json", b"3", condition=PutCondition(etag))


def test_nothing_is_deleted_below_another_prefix(store: AuthorizingStore) -> None:
    with pytest.raises(DeniedError):
        store.blobs("inference").delete("weights/there")
    assert store.blobs("operator").get("weights/there").data == b"x"


def test_a_refusal_names_the_object_and_what_to_do(store: AuthorizingStore) -> None:
    with pytest.raises(DeniedError, match=rf"write.*s3://{BUCKET}/weights/there.*siad store-policy"):
        store.blobs("inference").put("weights/there", b"x")


def test_the_command_prints_what_the_store_of_this_test_has() -> None:
    done = CliRunner().invoke(app, ["store-policy", "inference", "--bucket", BUCKET, "--for", "seaweedfs"])
    assert f"Write:{BUCKET}/drift/*" in json.loads(done.output)


def _is_allowed(call: object) -> bool:
    assert callable(call)
    try:
        call()
    except DeniedError:
        return False
    return True
