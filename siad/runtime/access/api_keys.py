"""API keys in the store, as commands make and revoke them."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from siad.contracts.access import Scope
from siad.contracts.access_keys import api_key_key, api_keys_prefix
from siad.contracts.api_keys import (
    KEY_ID_DIGITS,
    SECRET_BYTES,
    ApiKey,
    every_line,
    format_key,
    parse_key,
    secret_digest,
)
from siad.runtime.access.directory import read_documents
from siad.runtime.blobs.port import IF_ABSENT, Blobs, PutCondition


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """A key to make."""

    name: str  # what it is for
    scopes: Collection[Scope]
    lines: Collection[str]  # none: every line
    expires_at: datetime | None  # None: never
    created_by: str


class ApiKeys:
    """Makes keys, and revokes them by conditional put."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def all(self) -> list[ApiKey]:
        """Read every key, the oldest first.

        Raises:
            CorruptError: one can't be read.
        """
        found = read_documents(self._blobs, api_keys_prefix(), ApiKey.from_json)
        return sorted(found, key=lambda key: (key.created_at, key.key_id))

    def create(self, request: KeyRequest, *, now: datetime) -> tuple[str, ApiKey]:
        """Make a key; return it as programs send it.

        That form is stored nowhere.

        Raises:
            ValueError: it has no scope or no name, or would have expired.
        """
        if request.expires_at is not None and request.expires_at <= now:
            msg = f"key {request.name!r} would have expired at {request.expires_at:%Y-%m-%d %H:%M}; nothing was made"
            raise ValueError(msg)
        key_id, secret = secrets.token_hex(KEY_ID_DIGITS // 2), secrets.token_urlsafe(SECRET_BYTES)
        key = ApiKey(
            key_id=key_id,
            name=request.name,
            secret_sha256=secret_digest(secret),
            scopes=tuple(scope for scope in Scope if scope in request.scopes),
            lines=every_line(request.lines),
            created_at=now,
            created_by=request.created_by,
            expires_at=request.expires_at,
        )
        self._put(key, IF_ABSENT)
        return format_key(key_id, secret), key

    def revoke(self, name: str, *, now: datetime) -> tuple[ApiKey, bool]:
        """Revoke a key; a repeat changes nothing.

        Args:
            name: its id, its first digits, or the whole key.
            now: the time.

        Returns:
            The key, and whether it was valid before.

        Raises:
            LookupError: no key, or several, have this id.
            ConflictError: another process changed it at this moment.
        """
        whole = parse_key(name)
        prefix = name if whole is None else whole[0]
        found = [info for info in self._blobs.list(api_keys_prefix()) if info.key.startswith(api_key_key(prefix)[:-5])]
        if len(found) != 1 or not prefix:
            what = "several keys begin with" if len(found) > 1 else "there is no key"
            msg = f"{what} {prefix!r}; nothing was revoked. siad key list shows all"
            raise LookupError(msg)
        blob = self._blobs.get(found[0].key)
        key = ApiKey.from_json(blob.data)
        if key.revoked_at is not None:
            return key, False
        revoked = replace(key, revoked_at=now)
        self._put(revoked, PutCondition(blob.etag))
        return revoked, True

    def _put(self, key: ApiKey, condition: PutCondition) -> None:
        self._blobs.put(api_key_key(key.key_id), key.to_json(), content_type="application/json", condition=condition)
