"""Object keys of access: accounts and API keys.

They belong to no line, and a policy of the store may treat them apart.
"""

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
