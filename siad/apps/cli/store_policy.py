"""`siad store-policy`: the rights of an account on the bucket, as a policy."""

import json
from enum import StrEnum
from typing import Annotated

import typer

from siad.apps.cli.failures import reported_failures
from siad.contracts.topic_grants import ACCOUNTS
from siad.runtime.blobs.policies import iam_policy, weed_actions


class PolicyLanguage(StrEnum):
    """What reads the policy."""

    IAM = "iam"
    SEAWEEDFS = "seaweedfs"


def store_policy(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help=f"One of {', '.join(ACCOUNTS)}.")],
    bucket: Annotated[str, typer.Option("--bucket", help="Name of the bucket.")],
    language: Annotated[
        PolicyLanguage, typer.Option("--for", help="iam: AWS, MinIO, Ceph. seaweedfs: actions of an identity.")
    ] = PolicyLanguage.IAM,
) -> None:
    """Print the rights of an account on the bucket, as JSON.

    Every stage can have keys of its own, and then writes its own prefixes only. The scorer uses those of the labeler,
    training jobs those of the trainer. operator is for the siad commands.
    """
    with reported_failures():
        found = iam_policy(account, bucket) if language is PolicyLanguage.IAM else weed_actions(account, bucket)
    print(json.dumps(found, indent=2))
