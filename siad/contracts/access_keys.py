"""Object keys of access: accounts, API keys and the audit log.

They belong to no line, and a policy of the store may treat them apart.
"""

from datetime import UTC, datetime

from siad.contracts.key_parts import checked_part


def account_key(name: str) -> str:
    """Account of a person: hash of the password and roles."""
    return f"access/accounts/{checked_part(name)}.json"


def accounts_prefix() -> str:
    """All accounts."""
    return "access/accounts/"


def api_key_key(key_id: str) -> str:
    """API key: digest of the secret, scopes and lines."""
    return f"access/keys/{checked_part(key_id)}.json"


def api_keys_prefix() -> str:
    """All API keys."""
    return "access/keys/"


def audit_entry_key(at: datetime, entry_id: str) -> str:
    """Write-once entry of the audit log, under the UTC day and time."""
    return f"{audit_entries_prefix(at)}{at.astimezone(UTC):%H%M%S.%f}-{checked_part(entry_id)}.json"


def audit_entries_prefix(at: datetime) -> str:
    """All entries of the UTC day of a moment."""
    return f"access/audit/{at.astimezone(UTC):%Y-%m-%d}/"
