"""Senders that send an API key."""

from secrets import compare_digest
from typing import Final

from siad.contracts.access import Principal
from siad.contracts.access_keys import api_keys_prefix
from siad.contracts.api_keys import ApiKey, parse_key, secret_digest
from siad.runtime.access.directory import Directory
from siad.runtime.access.guard import Headers
from siad.runtime.blobs.aio import AsyncBlobs
from siad.runtime.clock import Clock
from siad.runtime.problems import Problem

HOW: Final = (
    "Send an API key, as Authorization: Bearer siad_...; siad key create makes one, and siad reads it from SIAD_API_KEY"
)
_CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}


class KeyBearer:
    """Identifies a request by its API key."""

    def __init__(self, store: AsyncBlobs, *, clock: Clock) -> None:
        self._keys = Directory(store, api_keys_prefix(), ApiKey.from_json, clock=clock)
        self._clock = clock

    async def __call__(self, headers: Headers) -> Principal | None:
        """Return the sender; None without a key.

        Raises:
            Problem: 401, the key is unknown, revoked or expired.
            TransientError: the store is unavailable, and was from the start on.
        """
        scheme, _, text = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        parts = parse_key(text.strip())
        if parts is None:
            detail = f"the credentials are no API key of SIAD; nothing was done. {HOW}"
            raise Problem(401, "unknown-key", detail, headers=_CHALLENGE)
        key_id, secret = parts
        key = await self._keys.find(key_id)
        if key is None or not compare_digest(secret_digest(secret), key.secret_sha256):
            detail = f"the API key {key_id} is unknown; nothing was done. siad key list shows those that there are"
            raise Problem(401, "unknown-key", detail, headers=_CHALLENGE)
        if end := key.end(self._clock.now()):
            detail = f"the API key {key_id} {end}; nothing was done. siad key create makes another"
            raise Problem(401, "ended-key", detail, headers=_CHALLENGE)
        return key.principal
