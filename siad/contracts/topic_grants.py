"""Rights of each account on the broker: topics, groups and transactions.

They follow from the table of topics, so a new topic or reader changes them too. The Helm chart makes the accounts of
Strimzi from them; ``docs/reference.md`` lists them for a broker with ACLs of its own.
"""

from dataclasses import dataclass
from typing import Final, Literal

from siad.contracts.topics import SEGMENTER, STAGES, TEACHER, TOPICS, retry

OPERATOR: Final = "operator"  # account of the siad commands
ACCOUNTS: Final = (*STAGES, OPERATOR)
BOOKS_GROUP: Final = "siad.books"  # of the capture ledger, which ingest keeps
READ: Final = ("Read", "Describe")
WRITE: Final = ("Write", "Describe")

Resource = Literal["topic", "group", "transactionalId"]


@dataclass(frozen=True, slots=True)
class Grant:
    """Operations that an account may perform on one resource of the broker."""

    resource: Resource
    name: str
    operations: tuple[str, ...]
    is_prefix: bool = False  # of all resources whose name begins so


def grants_of(account: str) -> tuple[Grant, ...]:
    """Return the rights of a stage, or of the operator.

    A retry topic is written by operators, who send dead letters again; the stage only reads it.

    Raises:
        ValueError: for another account.
    """
    if account == OPERATOR:
        return _operator_grants()
    if account not in STAGES:
        msg = f"{account!r} is no account; they are {', '.join(ACCOUNTS)}"
        raise ValueError(msg)
    groups = [Grant("group", f"siad.{account}", READ)]
    if account == "ingest":
        groups = [Grant("group", BOOKS_GROUP, READ)]
    if account == "inference":  # verdicts and offset in one transaction, with delivery exactly-once
        groups.append(Grant("transactionalId", f"siad.{account}.", WRITE, is_prefix=True))
    return (*_topic_grants(account), *groups)


def _topic_grants(stage: str) -> list[Grant]:
    grants = []
    for topic in TOPICS:
        is_reader = stage in (*topic.readers, *topic.viewers)
        is_writer = stage == topic.writer and topic != retry(stage)
        operations = [name for name, has in (("Read", is_reader), ("Write", is_writer)) if has]
        if operations:
            grants.append(Grant("topic", topic.name, (*operations, "Describe")))
    return grants


def _operator_grants() -> tuple[Grant, ...]:
    """Rights to read everything, repeat dead letters and announce rollbacks."""
    sent = [*(retry(stage) for stage in STAGES if retry(stage) in TOPICS), TEACHER, SEGMENTER]
    return (
        Grant("topic", "siad.", READ, is_prefix=True),
        *(Grant("topic", topic.name, WRITE) for topic in sent),
        Grant("group", "siad.", READ, is_prefix=True),
    )
