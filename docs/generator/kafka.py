"""Topics and accounts of Kafka, for the chart and the reference."""

import json
from typing import Any, Final

from docs.generator.table import code, table
from siad.contracts.topic_grants import ACCOUNTS, Grant, grants_of
from siad.contracts.topics import TOPICS
from siad.runtime.bus.settings import BusSettings

CHART_FILE: Final = "../charts/siad/kafka/topics.json"
DEFAULTS: Final = ("partitions", "replication", "min_insync_replicas", "work_retention_h", "dead_letter_retention_h")


def chart_topics() -> str:
    """The chart's JSON: topics, their settings, and ACLs of each account."""
    fields = BusSettings.model_fields
    found = {
        "defaults": {name: fields[name].default for name in DEFAULTS},
        "topics": {topic.name: topic.kind for topic in TOPICS},
        "accounts": {account: [_acl(grant) for grant in grants_of(account)] for account in ACCOUNTS},
    }
    return json.dumps(found, indent=1) + "\n"


def accounts_chapter() -> str:
    """The rights of each account on the broker."""
    head = (
        "Rights of each account on a broker with ACLs, where every stage has its own. The chart creates these accounts "
        "as resources of Strimzi (`kafka.strimzi.cluster`). `operator` is for the `siad` commands. Names that end with "
        "`*` are prefixes. Topics must exist, or the account also needs Create on those that it reads and writes."
    )
    rows = [
        (account, grant.resource, code(f"{grant.name}{'*' if grant.is_prefix else ''}"), ", ".join(grant.operations))
        for account in ACCOUNTS
        for grant in grants_of(account)
    ]
    return f"{head}\n\n{table(('account', 'resource', 'name', 'operations'), rows)}"


def _acl(grant: Grant) -> dict[str, Any]:
    """A rule of a KafkaUser."""
    pattern = "prefix" if grant.is_prefix else "literal"
    return {
        "resource": {"type": grant.resource, "name": grant.name, "patternType": pattern},
        "operations": list(grant.operations),
    }
