"""Deadline of a request: store and broker may take only so long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from siad.contracts.errors import TransientError


@asynccontextmanager
async def answered_within(timeout_s: float, what: str) -> AsyncIterator[None]:
    """Bound the time that a client waits for store and broker.

    Work already begun may still finish.

    Args:
        timeout_s: seconds for the block.
        what: begins the message: "the image was not stored".

    Raises:
        TransientError: the block took longer.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        msg = f"{what} within {timeout_s:g} s"
        raise TransientError(msg) from error
