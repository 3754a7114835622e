"""Publishes corrections that are stored and were not announced."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from services.console.domain.book import CorrectionId
from services.console.handlers import ConsolePorts, publish
from siad.contracts.errors import CorruptError, TransientError

log = structlog.get_logger()

READS_MAX: Final = 64  # records read at a time
PUBLISHED_MAX: Final = 500  # corrections published at a time


async def heal(ports: ConsolePorts) -> None:
    """Enter what is stored and was never published into the book.

    Call it once the correction topic was read to its end: a record is stored before its event is published, so every
    event that was read has its record in the listing, unless the capture was erased.

    Raises:
        TransientError: the store is unavailable.
    """
    stored = await ports.corrections.names()
    ports.book.keep_stored(stored)
    unread = ports.book.unread(stored)
    for start in range(0, len(unread), READS_MAX):
        await _enter(unread[start : start + READS_MAX], ports)
    if unread:
        log.info("corrections_outstanding", count=len(unread))


async def announce(ports: ConsolePorts) -> None:
    """Publish what is outstanding; what the broker does not take stays so."""
    outstanding = ports.book.outstanding()
    try:
        for start in range(0, len(outstanding), PUBLISHED_MAX):
            await publish(outstanding[start : start + PUBLISHED_MAX], ports)
    except TransientError as error:
        log.warning("corrections_wait", count=len(ports.book.outstanding()), reason=str(error))


async def _enter(names: Sequence[CorrectionId], ports: ConsolePorts) -> None:
    read = await asyncio.gather(*(ports.corrections.read(name) for name in names), return_exceptions=True)
    for name, found in zip(names, read, strict=True):
        if isinstance(found, CorruptError):  # one damaged record must not keep the others
            log.error("correction_unreadable", capture_id=name.capture_id, line=name.line, reason=str(found))
        elif isinstance(found, BaseException):
            raise found
        elif found is not None:
            ports.book.add(found, is_published=False)
