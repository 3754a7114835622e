"""Rights on the bucket: writers, readers and deletions by prefix."""

import json

import pytest
from typer.testing import CliRunner

from siad.apps.cli.__main__ import app
from siad.contracts.store_grants import store_grant_of
from siad.contracts.topic_grants import ACCOUNTS, OPERATOR
from siad.runtime.blobs.policies import iam_policy


def writers(key: str) -> set[str]:
    return {account for account in ACCOUNTS if key.startswith(store_grant_of(account).writes)}


@pytest.mark.parametrize(
    ("key", "stages"),
    [
        ("pointers/teacher/press/cap.json", {"labeler"}),
        ("pointers/segmenter/press/cap.json", {"trainer"}),
        ("pointers/lines/press.json", {"ingest"}),
        ("parts/9f3c", {"labeler", "trainer"}),
        ("thresholds/press/cap/9f3c.json", {"console"}),
        ("corrections/press/1/1.json", {"console"}),
        ("access/accounts/pat.json", {"console"}),
        ("books/books.json", {"ingest"}),
        ("quarantine/press/weights/9f3c.json", set()),
        ("dead-letters/inference/t-0-1.json", set()),
        ("deletions/press/1.json", set()),
    ],
)
def test_only_its_owners_write_an_object(key: str, stages: set[str]) -> None:
    assert writers(key) == {*stages, OPERATOR}


def test_passwords_are_read_by_the_console_and_operators() -> None:
    readers = {one for one in ACCOUNTS if "access/accounts/pat.json".startswith(store_grant_of(one).reads)}
    assert readers == {"console", OPERATOR}


def test_a_policy_deletes_where_the_stage_does() -> None:
    statements = {one["Sid"]: one for one in iam_policy("trainer", "plant")["Statement"]}
    assert statements["Delete"]["Resource"] == ["arn:aws:s3:::plant/checkpoints/*", "arn:aws:s3:::plant/ledger/*"]
    assert "arn:aws:s3:::plant/probes/conditional-put" in statements["Write"]["Resource"]
    assert "Delete" not in {one["Sid"] for one in iam_policy("inference", "plant")["Statement"]}


def test_the_command_prints_a_policy_and_refuses_another_account() -> None:
    done = CliRunner().invoke(app, ["store-policy", "ingest", "--bucket", "plant"])
    assert json.loads(done.output) == iam_policy("ingest", "plant")
    refused = CliRunner().invoke(app, ["store-policy", "scorer", "--bucket", "plant"])
    assert refused.exit_code == 1
    assert "'scorer' is no account; they are ingest, labeler" in refused.output
