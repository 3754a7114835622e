"""Policies of the store for each account, for AWS IAM and SeaweedFS."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from siad.contracts.store_grants import store_grant_of

_VERSION: Final = "2012-10-17"  # of the language of policies


def iam_policy(account: str, bucket: str) -> Mapping[str, Any]:
    """Return the policy of an account for AWS IAM, MinIO or Ceph.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html.

    Raises:
        ValueError: for an unknown account.
    """
    grant = store_grant_of(account)
    statements = [
        {"Sid": "List", "Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [f"arn:aws:s3:::{bucket}"]},
        _statement("Read", ["s3:GetObject"], bucket, grant.reads),
        _statement("Write", ["s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload"], bucket, grant.writes),
    ]
    if grant.deletes:
        statements.append(_statement("Delete", ["s3:DeleteObject"], bucket, grant.deletes))
    return {"Version": _VERSION, "Statement": statements}


def weed_actions(account: str, bucket: str) -> Sequence[str]:
    """Return the actions of an account's identity in SeaweedFS's s3.json.

    SeaweedFS has no action for deletions: ``Write`` includes them.
    Source: https://github.com/seaweedfs/seaweedfs/wiki/Amazon-S3-API#authentication.

    Raises:
        ValueError: for an unknown account.
    """
    grant = store_grant_of(account)
    changed = sorted({*grant.writes, *grant.deletes})
    return [
        f"List:{bucket}",
        *(f"Read:{bucket}/{prefix}*" for prefix in grant.reads),
        *(f"Write:{bucket}/{prefix}*" for prefix in changed),
        *(f"Tagging:{bucket}/{prefix}*" for prefix in grant.writes),
    ]


def _statement(name: str, actions: Sequence[str], bucket: str, prefixes: Sequence[str]) -> dict[str, Any]:
    """Allow actions below prefixes, or on whole keys."""
    resources = [f"arn:aws:s3:::{bucket}/{prefix}{'*' if prefix.endswith('/') else ''}" for prefix in prefixes]
    return {"Sid": name, "Effect": "Allow", "Action": list(actions), "Resource": resources}
