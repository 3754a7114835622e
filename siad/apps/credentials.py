"""The API key that commands send, from ``SIAD_API_KEY``."""

import os
from collections.abc import Mapping
from typing import Final

from siad.contracts.api_keys import parse_key

API_KEY: Final = "SIAD_API_KEY"


def credentials(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the header with the key; empty without one.

    Raises:
        ValueError: it is no key; the text does not tell it.
    """
    text = env.get(API_KEY, "").strip()
    if not text:
        return {}
    if parse_key(text) is None:
        msg = f"{API_KEY} is no API key; nothing was sent. Set it to what siad key create printed, or unset it"
        raise ValueError(msg)
    return {"Authorization": f"Bearer {text}"}
